//! The first settings of a Linux guest from a cloud image: a user, keys, a password
//! (cloud-init's data source NoCloud).

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use super::{
    iso9660, names,
    plan::{Draft, refusal},
};
use crate::{Refusal, text::yaml::scalar};

/// The name of the volume by which cloud-init finds it.
pub const VOLUME: &str = "cidata";

/// Settings that were checked. Who can read them can try passwords against the hash, so they belong
/// into a file that root alone can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    guest: String,
    user: String,
    keys: Vec<String>,
    password_hash: Option<String>,
}

impl Seed {
    /// A user of the guest who may become root, and logs in with one of `keys` (lines of
    /// `authorized_keys`), or at the console with the password of which `password_hash` is the hash
    /// (crypt(5)).
    ///
    /// # Errors
    /// Every refusal: a user name no Linux takes, a key that is none, a password in place of its
    /// hash, no way to log in at all.
    pub fn new(
        guest: &str,
        user: &str,
        keys: &[String],
        password_hash: Option<&str>,
    ) -> Result<Self, Vec<Refusal>> {
        let mut draft = Draft::default();
        draft.check(names::guest(guest));
        draft.check(user_name(user));
        for one in keys {
            draft.check(key(one));
        }
        if let Some(hash) = password_hash {
            draft.check(crypt(hash));
        }
        if keys.is_empty() && password_hash.is_none() {
            draft.refuse(
                "guest.seed.no-login",
                format!("Nobody could log in as {user}: there is neither a key nor a password."),
                "Give a key, --ssh-key ~/.ssh/id_ed25519.pub, or a hash from `openssl passwd -6`.",
            );
        }
        draft.finish(Self {
            guest: guest.into(),
            user: user.into(),
            keys: keys.iter().map(|key| key.trim().into()).collect(),
            password_hash: password_hash.map(Into::into),
        })
    }

    /// `user-data`: what is set up.
    pub fn user_data(&self) -> String {
        let mut text = String::from("#cloud-config\n");
        let mut line = |line: String| {
            text.push_str(&line);
            text.push('\n');
        };
        line(format!("hostname: {}", scalar(&self.hostname())));
        line("ssh_pwauth: false".into());
        line("users:".into());
        line(format!("  - name: {}", scalar(&self.user)));
        line("    shell: \"/bin/bash\"".into());
        // Who has a password is asked for it.
        let sudo = if self.password_hash.is_some() {
            "ALL=(ALL) ALL"
        } else {
            "ALL=(ALL) NOPASSWD:ALL"
        };
        line(format!("    sudo: {}", scalar(sudo)));
        line(format!("    lock_passwd: {}", self.password_hash.is_none()));
        if let Some(hash) = &self.password_hash {
            line(format!("    passwd: {}", scalar(hash)));
        }
        if !self.keys.is_empty() {
            line("    ssh_authorized_keys:".into());
            for key in &self.keys {
                line(format!("      - {}", scalar(key)));
            }
        }
        text
    }

    /// `meta-data`: which guest it is. Other settings are another instance, so that cloud-init sets
    /// them up.
    pub fn meta_data(&self) -> String {
        let host = self.hostname();
        let id = format!("{host}-{:016x}", names::hash(self.user_data().as_bytes()));
        format!(
            "instance-id: {}\nlocal-hostname: {}\n",
            scalar(&id),
            scalar(&host)
        )
    }

    /// The image of a disc with both, which the guest finds by its name. Same settings, same bytes.
    pub fn image(&self) -> Vec<u8> {
        iso9660::image(
            VOLUME,
            &[
                ("meta-data", self.meta_data().as_bytes()),
                ("user-data", self.user_data().as_bytes()),
            ],
        )
    }

    /// The guest's name as a name of a host (RFC 1123): letters, digits, dashes between them.
    fn hostname(&self) -> String {
        let plain: String = self
            .guest
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .take(63)
            .collect();
        match plain.trim_matches('-').to_ascii_lowercase() {
            empty if empty.is_empty() => "guest".to_string(),
            name => name,
        }
    }
}

/// As Debian's useradd(8) takes it.
fn user_name(user: &str) -> Result<(), Refusal> {
    let mut letters = user.chars();
    let first = letters
        .next()
        .is_some_and(|c| c.is_ascii_lowercase() || c == '_');
    let rest =
        letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-');
    if first && rest && user.len() <= 32 && user != "root" {
        return Ok(());
    }
    Err(refusal(
        "guest.seed.user",
        format!("{user:?} is no name for a user of the guest."),
        "Lower-case letters, digits, dashes, a letter first, and not root: --seed-user alex.",
    ))
}

/// A line of `authorized_keys` without options (sshd(8)).
fn key(line: &str) -> Result<(), Refusal> {
    let bad = |why: &str| {
        Err(refusal(
            "guest.seed.key",
            format!("What is given as an SSH key is none: {why}."),
            "Name the file that ends in .pub: --ssh-key ~/.ssh/id_ed25519.pub.",
        ))
    };
    let line = line.trim();
    if line.contains("PRIVATE KEY") {
        return bad("it is the private half, which stays with you");
    }
    if line.chars().any(char::is_control) {
        return bad("it has more than one line");
    }
    let mut words = line.split(' ');
    let kind = words.next().unwrap_or_default();
    if !["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"]
        .iter()
        .any(|prefix| kind.starts_with(prefix))
    {
        return bad("it does not begin with a kind of key such as ssh-ed25519");
    }
    let blob = words.next().unwrap_or_default();
    let base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    // Every one begins with the length of the name of its kind, below 64 KiB.
    if blob.len() < 40 || !blob.starts_with("AAAA") || !blob.chars().all(base64) {
        return bad("its second word is no key");
    }
    Ok(())
}

/// A hash that a Linux of today takes.
fn crypt(hash: &str) -> Result<(), Refusal> {
    let known = ["$6$", "$5$", "$y$", "$2b$", "$gy$"];
    let plain = |c: char| c.is_ascii_alphanumeric() || "./$,=-".contains(c);
    let good = known.iter().any(|kind| hash.starts_with(kind));
    if good && hash.len() >= 20 && hash.chars().all(plain) {
        return Ok(());
    }
    // The text may be a password: it is not repeated.
    Err(refusal(
        "guest.seed.password",
        "What is given as the hash of a password is none; a password itself is never written down.",
        "openssl passwd -6 asks for a password and prints its hash, which begins with $6$.",
    ))
}
