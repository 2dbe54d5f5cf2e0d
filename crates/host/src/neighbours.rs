//! Whom the host has spoken to lately: its tables of neighbours, by IPv4 (ARP) and IPv6 (NDP).

use std::{
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use passthru_plan::guest::run::address::{Found, Source, arp, found};
use serde::Deserialize;

use crate::{
    exec::{Exec, Watch},
    root::Root,
};

/// An entry of `ip -json neighbour` (ip-neighbour(8)).
#[derive(Deserialize)]
struct Entry {
    dst: String,
    lladdr: Option<String>,
    #[serde(default)]
    state: Vec<String>,
}

/// All neighbours with an address on their link; the kernel's file knows IPv4 only, ip(8) both.
pub fn neighbours(root: &Root, exec: &dyn Exec) -> Vec<Found> {
    let mut all = arp(&root.text("/proc/net/arp").unwrap_or_default());
    let watch = Watch {
        deadline: Duration::from_secs(10),
        grace: Duration::from_secs(1),
        cancel: None,
    };
    // Without ip(8) there is IPv4.
    let answer = exec.ask(&["ip", "-json", "neighbour", "show"], &watch);
    if let Ok(answer) = answer
        && answer.success()
    {
        all.extend(parse(&answer.out));
    }
    all
}

/// Whether a TCP port answers within `patience`. Says nothing to it.
pub fn answers(address: &str, port: u16, patience: Duration) -> bool {
    let Ok(address) = address.parse::<IpAddr>() else {
        return false;
    };
    TcpStream::connect_timeout(&SocketAddr::new(address, port), patience).is_ok()
}

fn parse(text: &str) -> Vec<Found> {
    let entries: Vec<Entry> = serde_json::from_str(text).unwrap_or_default();
    let good = |entry: &Entry| !entry.state.iter().any(|state| state == "FAILED");
    entries
        .into_iter()
        .filter(good)
        .filter_map(|entry| {
            let mac = entry.lladdr?.to_ascii_lowercase();
            found(&entry.dst, Some(mac), Source::Neighbour)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_ip() {
        let text = r#"[{"dst":"192.168.122.50","dev":"virbr0","lladdr":"52:54:00:AA:bb:01","state":["STALE"]},
            {"dst":"fe80::1","dev":"eth0","lladdr":"52:54:00:aa:bb:02","router":null,"state":["REACHABLE"]},
            {"dst":"10.0.0.9","dev":"eth0","lladdr":"52:54:00:aa:bb:03","state":["FAILED"]},
            {"dst":"10.0.0.7","dev":"eth0","state":["INCOMPLETE"]}]"#;
        let found: Vec<(String, Option<String>)> = parse(text)
            .into_iter()
            .map(|f| (f.address, f.mac))
            .collect();
        let mac = |last| Some(format!("52:54:00:aa:bb:0{last}"));
        assert_eq!(
            found,
            [
                ("192.168.122.50".into(), mac(1)),
                ("fe80::1".into(), mac(2))
            ]
        );
        assert!(parse("no json").is_empty());
    }
}
