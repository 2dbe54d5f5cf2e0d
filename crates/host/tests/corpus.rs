//! Real hosts captured by other people (PASSTHRU_CORPUS), read a second time by this test without
//! any of passthru's readers, and by lspci where config space is there.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::panic)]

mod observe_builder;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use observe_builder::Host;
use passthru_host::{
    Root,
    observe::{Wanted, observe},
};
use passthru_plan::{Measured, devices::devices, text::os_release};
use serde_json::{Value, json};

/// A set of the corpus, or nothing where there is no corpus.
fn set(name: &str) -> Option<PathBuf> {
    let Some(corpus) = std::env::var_os("PASSTHRU_CORPUS") else {
        println!("skipped: PASSTHRU_CORPUS is not set");
        return None;
    };
    let set = Path::new(&corpus).join(name);
    assert!(set.is_dir(), "{} is not unpacked", set.display());
    Some(set)
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// Digits of a hexadecimal attribute without `0x`.
fn digits(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.trim().trim_start_matches("0x").to_owned()
}

fn target(path: &Path) -> Option<String> {
    fs::read_link(path).ok().map(|target| name(&target))
}

/// What `devices --json` must say about a host, from its files alone: address to fields.
fn expected(host: &Path) -> BTreeMap<String, Value> {
    let mut groups = BTreeMap::new();
    for group in entries(&host.join("sys/kernel/iommu_groups")) {
        for member in entries(&group.join("devices")) {
            groups.insert(name(&member), name(&group));
        }
    }
    let mut expected = BTreeMap::new();
    for device in entries(&host.join("sys/bus/pci/devices")) {
        let subsystem = device.join("subsystem_vendor").exists().then(|| {
            let half = |name| digits(&device.join(name));
            format!("{}:{}", half("subsystem_vendor"), half("subsystem_device"))
        });
        let driver = target(&device.join("driver")).or_else(|| {
            let uevent = fs::read_to_string(device.join("uevent")).ok()?;
            let line = uevent.lines().find(|line| line.starts_with("DRIVER="))?;
            Some(line["DRIVER=".len()..].to_owned())
        });
        let address = name(&device);
        let group = target(&device.join("iommu_group")).or(groups.get(&address).cloned());
        let fields = json!({
            "address": address,
            "class": digits(&device.join("class")),
            "vendor": digits(&device.join("vendor")),
            "device": digits(&device.join("device")),
            "subsystem": subsystem.filter(|ids| ids != "0000:0000"),
            "driver": driver,
            "group": group.map(|id| id.parse::<u32>().unwrap()),
        });
        expected.insert(address, fields);
    }
    expected
}

/// The same shape from `devices --json`.
fn found(host: &Path) -> BTreeMap<String, Value> {
    let facts = observe(&Root::open(host).unwrap(), Wanted::all());
    assert_eq!(facts.unreadable, Vec::<String>::new(), "{}", host.display());
    let list = serde_json::to_value(devices(&facts)).unwrap();
    let mut found = BTreeMap::new();
    let mut add = |function: &Value, group: Value| {
        let mut fields = serde_json::Map::new();
        for key in [
            "address",
            "class",
            "vendor",
            "device",
            "subsystem",
            "driver",
        ] {
            fields.insert(key.into(), function[key].clone());
        }
        fields.insert("group".into(), group);
        let address = function["address"].as_str().unwrap().to_owned();
        assert!(found.insert(address, fields.into()).is_none());
    };
    for group in list["groups"].as_array().unwrap() {
        for function in group["functions"].as_array().unwrap() {
            add(function, group["id"].clone());
        }
    }
    for function in list["ungrouped"].as_array().unwrap() {
        add(function, Value::Null);
    }
    found
}

#[test]
fn every_host_lists_what_its_files_say() {
    let Some(hosts) = set("pci-hosts") else {
        return;
    };
    let hosts: Vec<PathBuf> = entries(&hosts)
        .into_iter()
        .filter(|path| path.join("sys").is_dir())
        .collect();
    assert!(hosts.len() >= 60, "{} hosts", hosts.len());
    let (mut functions, mut grouped, mut wide) = (0, 0, 0);
    for host in &hosts {
        let (expected, found) = (expected(host), found(host));
        assert_eq!(found, expected, "{}", host.display());
        functions += found.len();
        grouped += found.values().filter(|f| !f["group"].is_null()).count();
        wide += found.keys().filter(|address| address.len() > 12).count();
    }
    println!(
        "{} hosts, {functions} functions, {grouped} in groups, {wide} in five-digit domains",
        hosts.len()
    );
    assert!(functions > 2000 && grouped > 500 && wide > 5);
}

/// Config space as `lspci -F` reads it.
fn dump(host: &Path) -> String {
    let mut dump = String::new();
    for device in entries(&host.join("sys/bus/pci/devices")) {
        let Ok(config) = fs::read(device.join("config")) else {
            continue;
        };
        dump += &format!("{} device\n", name(&device));
        for (row, bytes) in config.chunks(16).enumerate() {
            let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            dump += &format!("{:02x}: {}\n", row * 16, bytes.join(" "));
        }
        dump.push('\n');
    }
    dump
}

#[test]
fn lspci_agrees_where_config_space_is_there() {
    let Some(hosts) = set("pci-hosts") else {
        return;
    };
    let mut compared = 0;
    for host in entries(&hosts) {
        let dump = dump(&host);
        if dump.is_empty() {
            continue;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), dump).unwrap();
        let Ok(output) = Command::new("lspci")
            .args(["-nvmmD", "-F"])
            .arg(file.path())
            .output()
        else {
            println!("skipped: lspci is not installed");
            return;
        };
        let facts = observe(&Root::open(&host).unwrap(), Wanted::devices());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        for block in text.split("\n\n").filter(|block| !block.trim().is_empty()) {
            let field = |key: &str| {
                block
                    .lines()
                    .find_map(|line| line.strip_prefix(key)?.strip_prefix(":\t"))
            };
            let address = field("Slot").unwrap().parse().unwrap();
            let function = facts
                .function(address)
                .unwrap_or_else(|| panic!("{address} is lost in {}", host.display()));
            assert_eq!(
                field("Class"),
                Some(&*format!("{:04x}", function.class.sub())),
                "{address}"
            );
            assert_eq!(
                field("Vendor"),
                Some(&*format!("{:04x}", function.ids.vendor))
            );
            assert_eq!(
                field("Device"),
                Some(&*format!("{:04x}", function.ids.device))
            );
            // lspci finds a bridge's subsystem in a capability, the kernel shows it in sysfs; these
            // captures have no such files for bridges.
            let subsystem = field("SVendor")
                .zip(field("SDevice"))
                .filter(|_| !function.class.is_pci_bridge());
            assert_eq!(
                function.subsystem.map(|ids| ids.to_string()),
                subsystem.map(|(vendor, device)| format!("{vendor}:{device}")),
                "subsystem of {address} in {}",
                host.display()
            );
            let revision = function.revision.filter(|&revision| revision != 0);
            assert_eq!(
                field("Rev"),
                revision.map(|r| format!("{r:02x}")).as_deref(),
                "{address}"
            );
            compared += 1;
        }
    }
    println!("{compared} functions compared with lspci");
    assert!(compared >= 112);
}

#[test]
fn full_hosts_know_their_kernel_and_interrupts() {
    let Some(hosts) = set("pci-hosts") else {
        return;
    };
    for (host, release) in [
        ("full-ryzen-5950x-rtx3090", "6.8.0-90-generic"),
        ("full-ryzen-7950x-two-identical-rtx3080", "7.0.0-29-generic"),
    ] {
        let facts = observe(&Root::open(&hosts.join(host)).unwrap(), Wanted::all());
        let known = facts.kernel.release.as_deref();
        let either = ["6.8.0-90-generic", "7.0.0-29-generic"];
        assert!(
            known.is_some_and(|known| either.contains(&known)),
            "{known:?} {release}"
        );
        assert!(facts.iommu.interrupt_remapping.is(&true));
        assert!(facts.iommu.firmware_table.value().is_none());
        assert!(facts.machine.cpu.virtualization.is(&true));
        assert!(
            facts
                .kernel
                .cmdline
                .value()
                .is_some_and(|c| !c.ends_with('\n'))
        );
        assert!(!facts.groups.is_empty());
    }
}

#[test]
fn pci_dumps_have_no_address_that_is_lost() {
    let Some(dumps) = set("pci-config-dumps") else {
        return;
    };
    let mut seen = 0;
    for dump in entries(&dumps) {
        let text = String::from_utf8_lossy(&fs::read(&dump).unwrap()).into_owned();
        let host = Host::new();
        let mut wanted = BTreeSet::new();
        let mut first = "";
        for row in text.lines() {
            if !row.starts_with("00: ") {
                if !row.starts_with(char::is_whitespace) && row.contains('.') {
                    first = row.split(' ').next().unwrap_or_default();
                }
                continue;
            }
            let bytes: Vec<u32> = row[4..]
                .split_whitespace()
                .map(|byte| u32::from_str_radix(byte, 16).unwrap())
                .collect();
            let full = if first.matches(':').count() == 1 {
                format!("0000:{first}")
            } else {
                first.to_owned()
            };
            let place = format!("sys/bus/pci/devices/{full}");
            let class = bytes[11] << 16 | bytes[10] << 8 | bytes[9];
            host.file(&format!("{place}/class"), format!("0x{class:06x}\n"));
            host.file(
                &format!("{place}/vendor"),
                format!("0x{:04x}\n", bytes[1] << 8 | bytes[0]),
            );
            host.file(
                &format!("{place}/device"),
                format!("0x{:04x}\n", bytes[3] << 8 | bytes[2]),
            );
            wanted.insert((full, format!("{class:06x}")));
        }
        let facts = host.facts();
        let known: BTreeSet<_> = facts
            .functions
            .iter()
            .map(|f| (f.address.to_string(), f.class.to_string()))
            .collect();
        assert_eq!(known, wanted, "{}", dump.display());
        seen += wanted.len();
    }
    println!("{seen} functions of dumps");
    assert!(seen > 100);
}

#[test]
fn padded_attribute_files_of_gpus_are_read() {
    let Some(gpus) = set("gpu-device-dirs") else {
        return;
    };
    let mut seen = 0;
    for vendor in entries(&gpus).iter().filter(|path| path.is_dir()) {
        for gpu in entries(vendor) {
            let Some(device) = entries(&gpu)
                .into_iter()
                .map(|card| card.join("device"))
                .find(|device| device.join("uevent").is_file())
            else {
                continue;
            };
            let uevent = String::from_utf8_lossy(&fs::read(device.join("uevent")).unwrap())
                .replace('\0', "");
            let field = |key: &str| {
                uevent
                    .lines()
                    .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
                    .map(str::to_owned)
            };
            let (Some(slot), Some(id)) = (field("PCI_SLOT_NAME"), field("PCI_ID")) else {
                continue;
            };
            let host = Host::new();
            for file in entries(&device).iter().filter(|path| path.is_file()) {
                let bytes = fs::read(file).unwrap();
                host.file(&format!("sys/bus/pci/devices/{slot}/{}", name(file)), bytes);
            }
            let facts = host.facts();
            assert_eq!(facts.unreadable, Vec::<String>::new(), "{}", gpu.display());
            let [function] = &facts.functions[..] else {
                panic!("{}", gpu.display())
            };
            assert_eq!(
                function.ids.to_string(),
                id.to_lowercase(),
                "{}",
                gpu.display()
            );
            assert!(function.class.is_display(), "{}", gpu.display());
            assert_eq!(function.driver, field("DRIVER"), "{}", gpu.display());
            seen += 1;
        }
    }
    println!("{seen} GPUs");
    assert!(seen >= 20);
}

#[test]
fn every_os_release_has_the_id_it_names() {
    let Some(all) = set("os-release") else { return };
    let mut files = Vec::new();
    let mut directories = vec![all];
    while let Some(directory) = directories.pop() {
        for path in entries(&directory) {
            if path.is_dir() {
                directories.push(path);
            } else {
                files.push(path);
            }
        }
    }
    let mut seen = 0;
    for file in files {
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        // The last one wins, as in a shell.
        let Some(id) = text.lines().rev().find_map(|line| line.strip_prefix("ID=")) else {
            continue;
        };
        let found = os_release::parse(&text);
        assert_eq!(
            found.id,
            id.trim().trim_matches(['"', '\'']).to_lowercase(),
            "{}",
            file.display()
        );
        if let Some(line) = text
            .lines()
            .rev()
            .find_map(|l| l.strip_prefix("PRETTY_NAME=\""))
        {
            let pretty = line.trim_end().trim_end_matches('"');
            if !pretty.contains('\\') {
                assert_eq!(
                    found.pretty.as_deref().unwrap_or_default(),
                    pretty,
                    "{}",
                    file.display()
                );
            }
        }
        seen += 1;
    }
    println!("{seen} distributions");
    assert!(seen >= 350, "{seen}");
}

#[test]
fn cpus_of_real_hosts() {
    let Some(hosts) = set("cpu-topologies") else {
        return;
    };
    let mut seen = 0;
    for host in entries(&hosts) {
        if !host.join("proc/cpuinfo").is_file() {
            continue;
        }
        let machine = observe(&Root::open(&host).unwrap(), Wanted::all()).machine;
        let text =
            String::from_utf8_lossy(&fs::read(host.join("proc/cpuinfo")).unwrap()).into_owned();
        let threads = text
            .lines()
            .filter(|line| line.starts_with("processor\t"))
            .count();
        assert_eq!(machine.cpu.threads as usize, threads, "{}", host.display());
        let flag = text.contains(" vmx ") || text.contains(" svm ");
        assert_eq!(
            machine.cpu.virtualization,
            Measured::Value(flag),
            "{}",
            host.display()
        );
        seen += 1;
    }
    println!("{seen} processors");
}
