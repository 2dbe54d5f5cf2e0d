//! Who QEMU is, and what it may enter: any configuration, any ACL; and amounts as they are typed.
#![no_main]
use passthru_plan::{
    guest::reach::{Place, User, barred},
    text::size,
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split('\0');
    let mut part = || parts.next().unwrap_or_default();
    if let Some(user) = User::of(part(), part(), part()) {
        assert_ne!(user.uid, 0);
    }
    if let Ok(kib) = size::parse_kib(&text) {
        assert!(!size::kib_words(kib).is_empty());
    }
    let user = User {
        name: "qemu".into(),
        uid: 64055,
        groups: vec![64055],
    };
    let place = |acl| Place {
        path: "/home/a".into(),
        mode: u32::from(bytes.first().copied().unwrap_or_default()),
        uid: 1000,
        gid: 1000,
        acl,
    };
    let plain = place(None);
    assert_eq!(user.may_enter(&plain), plain.mode & 1 != 0);
    let listed = place(Some(bytes.to_vec()));
    let found = barred(
        &user,
        "/home/a/b.iso",
        std::slice::from_ref(&listed),
        Some(&listed),
    );
    let free = user.may_enter(&listed) && user.may_read(&listed);
    assert_eq!(found.is_none(), free);
    if let Some(found) = found {
        assert!(!found.why().is_empty() && !found.way_out().is_empty());
    }
});
