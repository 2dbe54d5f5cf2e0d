//! May a guest start, what it needs meanwhile, and where it is reached.
#![allow(clippy::unwrap_used)]

mod common;

use common::two_gpus::*;
use passthru_plan::{
    Address, Facts, Measured,
    facts::{HugepagePool, LogicalCpu, Node, Use, UseKind},
    guest::{
        Domain,
        hugepages::HostPages,
        reach::Barred,
        read::OsHint,
        run::{
            Around, Consent, Held, Opener, Ready,
            address::{self, Family, Found, Source},
            held::{Allowed, Confined},
            isolation, pages, preflight,
        },
    },
    text::cpulist::CpuSet,
};
use proptest::prelude::*;

const AUDIO: Address = Address::new(0, 2, 0, 1);

fn set(text: &str) -> CpuSet {
    CpuSet::from_list(text).unwrap()
}

fn hostdev(address: Address, managed: &str) -> String {
    format!(
        "<hostdev mode='subsystem' type='pci' managed='{managed}'><source><address domain='{}' bus='{}' slot='{}' function='{}'/></source></hostdev>",
        address.domain, address.bus, address.device, address.function
    )
}

/// A guest of 8 GiB with both functions of the free card, and what else is said.
fn guest(head: &str, devices: &str) -> Domain {
    owner(&[GUEST_GPU, AUDIO], "yes", head, devices)
}

fn owner(functions: &[Address], managed: &str, head: &str, devices: &str) -> Domain {
    let hostdevs: String = functions.iter().map(|a| hostdev(*a, managed)).collect();
    Domain::parse(&format!(
        "<domain><name>gaming</name><uuid>u</uuid><memory unit='GiB'>8</memory>{head}<devices>{hostdevs}{devices}</devices></domain>"
    ))
    .unwrap()
}

/// A host with memory, 8 CPUs of 4 cores, and two pools.
fn host() -> Facts {
    let mut facts = healthy();
    facts.machine.memory.total_kib = Some(32 << 20);
    facts.machine.memory.available_kib = Some(24 << 20);
    let cpu = |number: u32| LogicalCpu {
        number,
        package: Some(0),
        die: Some(0),
        core: Some(number % 4),
        siblings: [number % 4, number % 4 + 4].into_iter().collect(),
        l3: None,
        node: Some(0),
        kind: None,
    };
    facts.topology.cpus = Measured::Value((0..8).map(cpu).collect());
    let pool = |page_kib| HugepagePool {
        page_kib,
        total: 0,
        free: 0,
    };
    let node = |id| Node {
        id,
        cpus: CpuSet::new(),
        total_kib: Measured::Value(16 << 20),
        free_kib: Measured::Value(10 << 20),
        hugepages: vec![pool(2048), pool(1 << 20)],
    };
    facts.topology.nodes = vec![node(0), node(1)];
    facts
}

const PAGES_2M: HostPages<'static> = HostPages {
    default_kib: Some(2048),
    mounted: None,
};

fn around() -> Around<'static> {
    Around {
        openers_known: true,
        pages: PAGES_2M,
        ..Around::default()
    }
}

fn ids(answer: Result<Ready, Vec<passthru_plan::Refusal>>) -> Vec<String> {
    let refusals = answer.err().unwrap_or_default();
    for refusal in &refusals {
        assert!(!refusal.why.is_empty() && !refusal.way_out.is_empty());
    }
    refusals.into_iter().map(|refusal| refusal.id).collect()
}

fn start(facts: &Facts, domain: &Domain) -> Vec<String> {
    ids(preflight(facts, domain, &around(), Consent::default()))
}

/// Each mistake alone is refused by its own name, and nothing else is.
#[test]
fn functions_of_the_guest() {
    assert_eq!(start(&host(), &guest("", "")), [""; 0]);
    let said = |change: &dyn Fn(&mut Facts), domain: &Domain| {
        let mut facts = host();
        change(&mut facts);
        regroup(&mut facts);
        start(&facts, domain)
    };
    let function = |facts: &mut Facts, address: Address, driver: Option<&str>| {
        let mut all = facts.functions.iter_mut();
        let found = all.find(|f| f.address == address).unwrap();
        found.driver = driver.map(Into::into);
    };
    let gone = Address::new(0, 9, 0, 0);
    assert_eq!(
        said(&|_| {}, &owner(&[GUEST_GPU, AUDIO, gone], "yes", "", "")),
        ["guest.start.function.gone"]
    );
    // The card alone, without its audio, which the host drives.
    assert_eq!(
        said(&|_| {}, &owner(&[GUEST_GPU], "yes", "", "")),
        ["guest.start.group"]
    );
    assert_eq!(
        said(
            &|f| function(f, AUDIO, None),
            &owner(&[GUEST_GPU], "yes", "", "")
        ),
        [""; 0]
    );
    // managed='no' takes what is bound already, and nothing else.
    assert_eq!(
        said(&|_| {}, &owner(&[GUEST_GPU, AUDIO], "no", "", "")),
        ["guest.start.function.driven"; 2]
    );
    let bound = |driver| {
        move |f: &mut Facts| {
            function(f, GUEST_GPU, driver);
            function(f, AUDIO, driver);
        }
    };
    let no = owner(&[GUEST_GPU, AUDIO], "no", "", "");
    assert_eq!(said(&bound(Some("vfio-pci")), &no), [""; 0]);
    assert_eq!(said(&bound(None), &no), ["guest.start.function.unbound"; 2]);
    // The host's own disk.
    assert_eq!(
        said(&|_| {}, &owner(&[GUEST_GPU, AUDIO, NVME], "yes", "", "")),
        ["guest.start.function.needed"]
    );
    assert_eq!(
        said(
            &|f| f.uses.push(Use {
                address: AUDIO,
                kind: UseKind::Keyboard,
                detail: "a keyboard".into()
            }),
            &guest("", "")
        ),
        [""; 0]
    );
    let without = |f: &mut Facts| {
        for function in &mut f.functions {
            function.group = None;
        }
    };
    assert_eq!(
        said(&without, &guest("", "")),
        ["guest.start.group.none"; 2]
    );
}

#[test]
fn the_only_picture_needs_consent() {
    let facts = host();
    let card = owner(&[HOST_GPU, Address::new(0, 1, 0, 1)], "yes", "", "");
    assert_eq!(start(&facts, &card), ["guest.start.display"]);
    let consent = Consent {
        headless: true,
        ..Consent::default()
    };
    assert_eq!(ids(preflight(&facts, &card, &around(), consent)), [""; 0]);
    // On a host without any picture nothing is lost.
    let mut facts = host();
    for card in &mut facts.display.cards {
        card.connectors[0].connected = false;
    }
    let mut all = facts.functions.iter_mut();
    all.find(|f| f.address == HOST_GPU).unwrap().boot_vga = Some(false);
    assert_eq!(start(&facts, &card), [""; 0]);
}

#[test]
fn a_card_in_use_is_not_taken() {
    let facts = host();
    let opener = Opener {
        function: GUEST_GPU,
        process: 812,
        name: "Xorg".into(),
    };
    let openers = [opener];
    let used = Around {
        openers: &openers,
        ..around()
    };
    let refusals = preflight(&facts, &guest("", ""), &used, Consent::default()).unwrap_err();
    assert_eq!(refusals[0].id, "guest.start.function.open");
    assert!(refusals[0].why.contains("Xorg (process 812)"));
    assert!(
        refusals[0]
            .way_out
            .contains("sudo passthru apply --gpu 0000:02:00.0")
    );
    let unknown = Around {
        openers_known: false,
        ..around()
    };
    let said = ids(preflight(
        &facts,
        &guest("", ""),
        &unknown,
        Consent::default(),
    ));
    assert_eq!(said, ["guest.start.function.not-measured"]);
    // Another guest has it, which runs.
    let mut other = owner(&[AUDIO], "yes", "", "");
    other.name = "work".into();
    let running = [other];
    let taken = Around {
        running: &running,
        ..around()
    };
    let refusals = preflight(&facts, &guest("", ""), &taken, Consent::default()).unwrap_err();
    assert_eq!(refusals[0].id, "guest.start.function.taken");
    assert_eq!(refusals[0].way_out, "sudo passthru vm stop work");
}

#[test]
fn networks_and_disks() {
    let devices = "<interface type='network'><source network='default'/></interface>\
        <interface type='network'><source network='default'/></interface>\
        <interface type='bridge'><source bridge='br0'/></interface>";
    let domain = guest("", devices);
    let (active, missing) = (["default".to_owned()], ["br0".to_owned()]);
    let disk = ["/gone.qcow2".to_owned()];
    let said = |around: &Around<'_>| ids(preflight(&host(), &domain, around, Consent::default()));
    let good = Around {
        networks: &active,
        ..around()
    };
    assert_eq!(said(&good), [""; 0]);
    assert_eq!(said(&around()), ["guest.start.network"]);
    let no_device = Around {
        no_device: &missing,
        ..good.clone()
    };
    assert_eq!(said(&no_device), ["guest.start.network.device"]);
    let no_disk = Around {
        no_disk: &disk,
        ..good.clone()
    };
    assert_eq!(said(&no_disk), ["guest.start.disk"]);
    let no_rom = Around {
        no_rom: &disk,
        ..good.clone()
    };
    assert_eq!(said(&no_rom), ["guest.start.rom"]);
    let home = [Barred {
        path: "/home/alex/x.iso".into(),
        directories: vec![("/home/alex".into(), 0o700)],
        mode: None,
        user: "libvirt-qemu".into(),
    }];
    let barred = Around {
        barred: &home,
        ..good
    };
    assert_eq!(said(&barred), ["guest.file.barred"]);
}

#[test]
fn a_drive_whose_medium_is_gone_may_be_emptied() {
    let drive = "<disk type='file' device='cdrom'><source file='/gone.iso'/><target dev='sda' bus='sata'/></disk>";
    let gone = ["/gone.iso".to_owned()];
    let around = Around {
        no_disk: &gone,
        ..around()
    };
    let refusals = preflight(&host(), &guest("", drive), &around, Consent::default()).unwrap_err();
    assert!(
        refusals[0].way_out.contains("--remove-disk /gone.iso"),
        "{}",
        refusals[0].way_out
    );
}

#[test]
fn memory_that_is_pinned_must_be_there() {
    let mut facts = host();
    facts.machine.memory.available_kib = Some((8 << 20) + (512 << 10));
    assert_eq!(start(&facts, &guest("", "")), [""; 0]);
    facts.machine.memory.available_kib = Some((8 << 20) + (512 << 10) - 1);
    assert_eq!(start(&facts, &guest("", "")), ["guest.start.memory"]);
    // Without a card nothing is pinned, and the kernel may swap.
    assert_eq!(start(&facts, &owner(&[], "yes", "", "")), [""; 0]);
}

const PAGES: &str = "<memoryBacking><hugepages/></memoryBacking>";

#[test]
fn huge_pages_that_are_missing() {
    let mut facts = host();
    let strict = format!("{PAGES}<numatune><memory mode='strict' nodeset='1'/></numatune>");
    let needs = |facts: &Facts, head: &str| {
        let domain = guest(head, "");
        assert_eq!(start(facts, &domain), ["guest.start.hugepages"]);
        let consent = Consent {
            allocate: true,
            ..Consent::default()
        };
        let ready = preflight(facts, &domain, &around(), consent).unwrap();
        let of = |raise: &pages::Raise| {
            let node = raise.pool.split('/').nth(5).unwrap().to_owned();
            (node, raise.page_kib, raise.missing)
        };
        ready.raise.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(needs(&facts, &strict), [("node1".into(), 2048, 4096)]);
    facts.topology.nodes[1].hugepages[0].free = 96;
    facts.topology.nodes[0].hugepages[0].free = 4096;
    assert_eq!(needs(&facts, &strict), [("node1".into(), 2048, 4000)]);
    // Not bound: anywhere will do.
    assert_eq!(start(&facts, &guest(PAGES, "")), [""; 0]);
    facts.topology.nodes[0].hugepages[0].free = 0;
    // No node has room for all of it.
    for node in &mut facts.topology.nodes {
        node.free_kib = Measured::Value(5 << 20);
    }
    assert_eq!(
        needs(&facts, PAGES),
        [("node0".into(), 2048, 2560), ("node1".into(), 2048, 1440)]
    );
    // Each of the guest's nodes on its own.
    let cells = "<memoryBacking><hugepages><page size='1' unit='G' nodeset='0'/><page size='2' unit='M' nodeset='1'/></hugepages></memoryBacking>\
        <numatune><memnode cellid='0' mode='strict' nodeset='1'/><memnode cellid='1' mode='strict' nodeset='0'/></numatune>\
        <cpu><numa><cell id='0' cpus='0' memory='4' unit='GiB'/><cell id='1' cpus='1' memory='4' unit='GiB'/></numa></cpu>";
    assert_eq!(
        needs(&facts, cells),
        [("node1".into(), 1 << 20, 4), ("node0".into(), 2048, 2048)]
    );
    let odd = PAGES.replace(
        "<hugepages/>",
        "<hugepages><page size='16' unit='M'/></hugepages>",
    );
    assert_eq!(
        start(&facts, &guest(&odd, "")),
        ["guest.start.hugepages.none"]
    );
    // Pages that are made now come out of what is free now.
    facts.machine.memory.available_kib = Some(4 << 20);
    let consent = Consent {
        allocate: true,
        ..Consent::default()
    };
    let said = ids(preflight(&facts, &guest(PAGES, ""), &around(), consent));
    assert_eq!(said, ["guest.start.memory"]);
    // And pages that are there do not.
    facts.topology.nodes[0].hugepages[0].free = 4096;
    facts.machine.memory.available_kib = Some(1 << 20);
    assert_eq!(start(&facts, &guest(PAGES, "")), [""; 0]);
}

#[test]
fn huge_pages_from_a_mount_that_is_not_there() {
    let mut facts = host();
    for node in &mut facts.topology.nodes {
        for pool in &mut node.hugepages {
            (pool.free, pool.total) = (8192, 8192);
        }
    }
    let large = PAGES.replace(
        "<hugepages/>",
        "<hugepages><page size='1' unit='G'/></hugepages>",
    );
    let said = |head: &str, mounted: Option<&[u64]>| {
        let around = Around {
            pages: HostPages {
                mounted,
                ..PAGES_2M
            },
            ..around()
        };
        ids(preflight(
            &facts,
            &guest(head, ""),
            &around,
            Consent::default(),
        ))
    };
    let no_mount = ["guest.start.hugepages.mount"];
    assert_eq!(said(&large, Some(&[2048])), no_mount);
    assert_eq!(said(PAGES, Some(&[])), no_mount);
    assert_eq!(said(PAGES, Some(&[2048])), [""; 0]);
    assert_eq!(said(&large, Some(&[2048, 1 << 20])), [""; 0]);
    assert_eq!(said(&large, None), [""; 0]);
    let own = large.replace("</hugepages>", "</hugepages><source type='memfd'/>");
    assert_eq!(said(&own, Some(&[])), [""; 0]);
}

proptest! {
    /// What is free and what is asked for together are the guest's memory, never more.
    #[test]
    fn pages_add_up(free in proptest::array::uniform2(0..6000_u64), room in proptest::array::uniform2(0..20_u64 << 20)) {
        let mut facts = host();
        for ((node, free), room) in facts.topology.nodes.iter_mut().zip(free).zip(room) {
            node.hugepages[0].free = free;
            node.free_kib = Measured::Value(room);
        }
        let memory = pages::check(&facts, &guest(PAGES, ""), PAGES_2M);
        let missing: u64 = memory.raise.iter().map(|raise| raise.missing).sum();
        prop_assert_eq!(missing, 4096_u64.saturating_sub(free[0] + free[1]));
        prop_assert!(memory.raise.iter().all(|raise| raise.missing > 0));
    }
}

const PINS: &str =
    "<cputune><vcpupin vcpu='0' cpuset='1'/><vcpupin vcpu='1' cpuset='2,6'/></cputune>";

#[test]
fn isolation_leaves_the_host_what_no_guest_has() {
    let facts = host();
    let first = isolation::plan(&facts, &guest(PINS, ""), &[]).unwrap();
    // The other thread of core 1 goes along.
    assert_eq!(
        (first.guest.clone(), first.host),
        (set("1-2,5-6"), set("0,3-4,7"))
    );
    let allowed = |unit: &str, cpus: &str| Allowed {
        unit: unit.into(),
        cpus: set(cpus),
    };
    let before = vec![allowed("system.slice", ""), allowed("user.slice", "0-3")];
    let held = |guest: &CpuSet| Held {
        isolation: Some(Confined {
            guest: guest.clone(),
            before: before.clone(),
        }),
        ..Held::default()
    };
    let others = [held(&first.guest)];
    let pins = PINS.replace("'1'", "'3'").replace("'2,6'", "'3'");
    let second = isolation::plan(&facts, &guest(&pins, ""), &others).unwrap();
    assert_eq!(
        (second.guest.clone(), second.host.clone()),
        (set("3,7"), set("0,4"))
    );
    assert_eq!(isolation::before(&others), Some(&before[..]));
    // Never more than a unit was allowed before.
    assert_eq!(
        isolation::confine(&before, &second.host),
        [allowed("system.slice", "0,4"), allowed("user.slice", "0")]
    );
    // The first ends: the second keeps its own; then all is as before.
    let online = isolation::online(&facts);
    let confined = others[0].isolation.as_ref().unwrap();
    assert_eq!(
        isolation::after(confined, &[held(&second.guest)], &online),
        [
            allowed("system.slice", "0-2,4-6"),
            allowed("user.slice", "0-2")
        ]
    );
    assert_eq!(isolation::after(confined, &[], &online), before);
}

#[test]
fn isolation_that_cannot_be() {
    let mut facts = host();
    let id = |facts: &Facts, head: &str| {
        let refusal = isolation::plan(facts, &guest(head, ""), &[]).unwrap_err();
        assert!(refusal.way_out.contains("--isolate"));
        refusal.id
    };
    assert_eq!(id(&facts, ""), "guest.start.isolate.not-pinned");
    let all = "<cputune><vcpupin vcpu='0' cpuset='0-3'/></cputune>";
    assert_eq!(id(&facts, all), "guest.start.isolate.nothing-left");
    facts.topology.cpus = Measured::not("not looked at");
    assert_eq!(id(&facts, PINS), "guest.start.isolate.not-measured");
}

fn found(address: &str, mac: &str, source: Source) -> Found {
    address::found(address, Some(mac.into()), source).unwrap()
}

#[test]
fn addresses_by_virsh_and_by_the_kernel() {
    // virsh --quiet domifaddr, of an agent in Windows.
    let text = " Loopback Pseudo-Interface 1 00:00:00:00:00:00    ipv6         ::1/128\n \
        Loopback Pseudo-Interface 1 00:00:00:00:00:00    ipv4         127.0.0.1/8\n \
        Ethernet 2 52:54:00:AA:BB:CC    ipv6         fe80::1/64\n \
        Ethernet 2 52:54:00:AA:BB:CC    ipv4         192.168.122.7/24\n \
        -          -                    ipv6         fd00::7/64\n\n";
    let all = address::domifaddr(text, Source::Agent);
    assert_eq!(all.len(), 5);
    assert_eq!(
        (all[4].address.as_str(), all[4].family),
        ("fd00::7", Family::Ipv6)
    );
    assert_eq!(all[4].mac.as_deref(), Some("52:54:00:aa:bb:cc"));
    let domain = guest(
        "",
        "<interface type='network'><mac address='52:54:00:aa:bb:cc'/><source network='default'/></interface>",
    );
    let useful = address::useful(&domain, all);
    let order: Vec<&str> = useful.iter().map(|one| one.address.as_str()).collect();
    assert_eq!(order, ["192.168.122.7", "fd00::7", "fe80::1"]);
    let arp = "IP address       HW type     Flags       HW address            Mask     Device\n\
        192.168.122.9    0x1         0x2         52:54:00:aa:bb:cc     *        virbr0\n\
        192.168.122.8    0x1         0x0         00:00:00:00:00:00     *        virbr0\n";
    assert_eq!(
        address::arp(arp),
        [found(
            "192.168.122.9",
            "52:54:00:aa:bb:cc",
            Source::Neighbour
        )]
    );
    assert!(address::useful(&guest("", ""), address::arp(arp)).is_empty());
}

#[test]
fn no_address_has_a_reason_and_a_way_out() {
    let linked = |device: &str| {
        guest(
            "",
            &format!("{device}<channel><target name='org.qemu.guest_agent.0'/></channel>"),
        )
    };
    let cases = [
        ("", "no network device", false),
        (
            "<interface type='network'><source network='default'/></interface>",
            "DHCP server of libvirt's network default",
            true,
        ),
        (
            "<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/></interface>",
            "behind the bridge br0",
            true,
        ),
        (
            "<interface type='direct'><source dev='eno1'/></interface>",
            "macvtap on eno1",
            true,
        ),
        ("<interface type='user'/>", "QEMU's own network", false),
        ("<interface type='vhostuser'/>", "vhostuser", true),
    ];
    for (device, why, later) in cases {
        let nothing = address::nothing(&linked(device), true);
        assert!(nothing.why.contains(why), "{}", nothing.why);
        assert_eq!(nothing.later, later, "{device}");
        assert!(!nothing.way_out.is_empty());
        let off = address::nothing(&linked(device), false);
        assert!(off.why.contains("does not run") && !off.later);
    }
}

#[test]
fn how_to_reach_it_is_said_by_what_runs_in_it() {
    let ports = |os| {
        address::reach(os, "10.0.0.7")
            .iter()
            .map(|one| one.port)
            .collect::<Vec<_>>()
    };
    assert_eq!(ports(OsHint::Linux), [22]);
    assert_eq!(ports(OsHint::Windows), [3389]);
    assert_eq!(ports(OsHint::Unknown), [22, 3389]);
    assert_eq!(
        address::reach(OsHint::Windows, "fd00::7")[0].how,
        "xfreerdp /v:[fd00::7] /u:USER"
    );
}

proptest! {
    #[test]
    fn any_answer(text: String) {
        for found in address::domifaddr(&text, Source::Lease).into_iter().chain(address::arp(&text)) {
            prop_assert!(found.address.parse::<std::net::IpAddr>().is_ok());
        }
    }
}
