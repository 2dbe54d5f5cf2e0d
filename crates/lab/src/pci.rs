//! The PCI functions of a running host.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::agent::Agent;
use crate::error::Result;

/// One function, as sysfs has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// `vendor:device`
    pub id: String,
    /// The driver bound to it.
    pub driver: Option<String>,
    /// Its IOMMU group.
    pub group: Option<u32>,
}

/// All functions by address.
pub type Functions = BTreeMap<String, Function>;

/// One line per function: address, vendor, device, driver or -, group or -.
pub const LIST: &str = r#"for function in /sys/bus/pci/devices/*; do
    read -r vendor <"$function/vendor"
    read -r device <"$function/device"
    driver=- group=-
    [ ! -e "$function/driver" ] || driver=$(basename "$(readlink "$function/driver")")
    [ ! -e "$function/iommu_group" ] || group=$(basename "$(readlink "$function/iommu_group")")
    echo "${function##*/} ${vendor#0x}:${device#0x} $driver $group"
done"#;

/// Looks at a host.
pub fn functions(agent: &mut Agent) -> Result<Functions> {
    parse(&agent.succeed(LIST, Duration::from_secs(60))?)
}

/// Reads what [`LIST`] wrote.
pub fn parse(text: &str) -> Result<Functions> {
    let known = |word: &str| (word != "-").then(|| word.to_owned());
    text.lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let &[address, id, driver, group] = words.as_slice() else {
                crate::bail!("not a PCI function: {line:?}");
            };
            let group = known(group).map(|group| group.parse()).transpose()?;
            let function = Function {
                id: id.to_owned(),
                driver: known(driver),
                group,
            };
            Ok((address.to_owned(), function))
        })
        .collect()
}

/// What is bound differently, one line per function.
pub fn difference(before: &Functions, after: &Functions) -> Vec<String> {
    let driver = |function: Option<&Function>| match function {
        None => "absent".to_owned(),
        Some(Function { driver: None, .. }) => "no driver".to_owned(),
        Some(Function {
            driver: Some(driver),
            ..
        }) => driver.clone(),
    };
    let addresses: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    addresses
        .into_iter()
        .map(|address| {
            (
                address,
                driver(before.get(address)),
                driver(after.get(address)),
            )
        })
        .filter(|(_, one, two)| one != two)
        .map(|(address, one, two)| format!("{address}: {one} -> {two}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_compares() {
        let one =
            parse("0000:00:02.0 1234:1111 bochs-drm 1\n0000:01:00.0 1002:5159 - -\n").unwrap();
        assert_eq!(one["0000:00:02.0"].group, Some(1));
        assert_eq!(one["0000:01:00.0"].driver, None);
        let two = parse("0000:00:02.0 1234:1111 bochs-drm 1\n0000:01:00.0 1002:5159 radeon 6\n");
        let two = two.unwrap();
        assert_eq!(
            difference(&one, &two),
            ["0000:01:00.0: no driver -> radeon"]
        );
        assert!(parse("nonsense").is_err());
    }
}
