//! What rpm-ostree does about the initramfs of the deployment that starts next: its origin file
//! (rpm-ostree: src/libpriv/rpmostree-origin.cxx; a GLib key file).

use passthru_plan::{Facts, Measured, text::kargs};

use crate::root::Root;

/// See [`passthru_plan::facts::Boot::ostree_initramfs`].
pub(super) fn initramfs(
    root: &Root,
    facts: &Facts,
    next: Option<&str>,
) -> Measured<Option<Vec<String>>> {
    let running = facts.kernel.cmdline.value().map(String::as_str);
    let deployment = [next, running]
        .into_iter()
        .flatten()
        .find_map(|cmdline| kargs::last_value(cmdline, "ostree"));
    let Some(deployment) = deployment else {
        return Measured::not("no ostree= on the kernel command line names a deployment");
    };
    // A link to /ostree/deploy/NAME/deploy/CHECKSUM.N, beside which the origin lies.
    let origin = root
        .resolve(&deployment)
        .map(|path| format!("{}.origin", path.trim_end_matches('/')));
    match origin.and_then(|path| root.text(&path)) {
        Ok(text) => Measured::Value(arguments(&text)),
        Err(error) => super::super::not(root, &deployment, &error),
    }
}

fn arguments(origin: &str) -> Option<Vec<String>> {
    let value = |key: &str| {
        origin.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            (name.trim() == key).then(|| value.trim())
        })
    };
    if value("regenerate-initramfs") != Some("true") {
        return None;
    }
    let mut words = vec![String::new()];
    let mut chars = value("initramfs-args").unwrap_or_default().chars();
    while let Some(c) = chars.next() {
        match (c, words.last_mut()) {
            (';', _) => words.push(String::new()),
            ('\\', Some(word)) => match chars.next() {
                Some('s') => word.push(' '),
                Some(c) => word.push(c),
                None => {}
            },
            (c, Some(word)) => word.push(c),
            (_, None) => {}
        }
    }
    // The list ends with a separator.
    words.retain(|word| !word.is_empty());
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::arguments;

    #[test]
    fn the_origin_says_whether_and_with_what() {
        assert_eq!(arguments("[origin]\nrefspec=fedora:x\n"), None);
        let no = "[rpmostree]\nregenerate-initramfs=false\n";
        assert_eq!(arguments(no), None);
        let bare = "[rpmostree]\nregenerate-initramfs=true\n";
        assert_eq!(arguments(bare), Some(vec![]));
        let with = format!("{bare}initramfs-args=--add-drivers;vfio_pci\\svfio;a\\;b;\n");
        assert_eq!(
            arguments(&with).unwrap(),
            ["--add-drivers", "vfio_pci vfio", "a;b"]
        );
    }
}
