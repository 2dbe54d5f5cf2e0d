//! What whoever started this process set for its signals.

use std::path::Path;

use crate::root::Root;

/// Signal `number` was ignored when this process was started, as nohup(1) does with SIGHUP, and nothing
/// was caught since (`SigIgn` in proc_pid_status(5)).
pub fn ignores(number: i32) -> bool {
    Root::open(Path::new("/"))
        .and_then(|root| root.text("/proc/self/status"))
        .is_ok_and(|status| is_in(&status, number))
}

fn is_in(status: &str, number: i32) -> bool {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = u32::try_from(number - 1)
        .ok()
        .and_then(|n| 1u64.checked_shl(n));
    mask.zip(bit).is_some_and(|(mask, bit)| mask & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_is_read_bit_by_bit() {
        let status = "Name:\tpassthru\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000000001001\n";
        assert!(is_in(status, 1) && is_in(status, 13));
        assert!(!is_in(status, 2) && !is_in(status, 15) && !is_in(status, 0) && !is_in(status, 65));
        assert!(!is_in("", 1));
    }
}
