//! The sample's processor: eight cores of two threads under one L3 cache.

use std::io;

use super::Writer;

const CPUS: u32 = 16;

/// Writes what the kernel shows of it below `/sys/devices/system/cpu`.
pub(super) fn write(writer: &Writer<'_>) -> io::Result<()> {
    let top = "sys/devices/system/cpu";
    for name in ["online", "present"] {
        writer.attribute(top, name, &format!("0-{}", CPUS - 1))?;
    }
    for cpu in 0..CPUS {
        let dir = format!("{top}/cpu{cpu}");
        let core = cpu / 2;
        let siblings = format!("{}-{}", core * 2, core * 2 + 1);
        let attributes = [
            ("topology/physical_package_id", "0".to_owned()),
            ("topology/die_id", "0".to_owned()),
            ("topology/core_id", core.to_string()),
            ("topology/core_cpus_list", siblings),
            ("cache/index3/level", "3".to_owned()),
            ("cache/index3/size", "16384K".to_owned()),
            ("cache/index3/shared_cpu_list", format!("0-{}", CPUS - 1)),
        ];
        for (name, value) in attributes {
            writer.attribute(&dir, name, &value)?;
        }
    }
    Ok(())
}
