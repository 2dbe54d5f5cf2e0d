//! The IOMMU: what the firmware offers and what the kernel uses.

use passthru_plan::{Measured, facts::Iommu, text::procfs};

use crate::root::Root;

/// Reads live state only; neither the kernel log nor the command line can say what is in use.
pub(super) fn observe(root: &Root) -> Iommu {
    let units = root.list("/sys/class/iommu").unwrap_or_default();
    Iommu {
        firmware_table: firmware_table(root),
        interrupt_remapping: interrupt_remapping(root),
        address_width: units
            .iter()
            .filter_map(|unit| address_width(root, unit))
            .min(),
        units,
    }
}

/// The tables' names are visible to everyone, their contents are not needed.
fn firmware_table(root: &Root) -> Measured<Option<String>> {
    const TABLES: &str = "/sys/firmware/acpi/tables";
    match root.list(TABLES) {
        Ok(names) => Measured::Value(
            ["DMAR", "IVRS"]
                .into_iter()
                .find(|table| names.iter().any(|name| name == table))
                .map(str::to_owned),
        ),
        // A running kernel without ACPI has no such directory, and then no such table either.
        Err(error) if error.is_missing() && root.is_live() && root.exists("/sys/firmware") => {
            Measured::Value(None)
        }
        Err(error) => super::not(root, TABLES, &error),
    }
}

/// Any interrupt that a chip named `IR-…` serves (`drivers/iommu/*/irq_remapping.c`).
fn interrupt_remapping(root: &Root) -> Measured<bool> {
    const IRQS: &str = "/sys/kernel/irq";
    let mut any = false;
    for irq in root.list(IRQS).unwrap_or_default() {
        if let Some(chip) = root.attribute(&format!("{IRQS}/{irq}/chip_name")) {
            if chip.starts_with("IR-") {
                return Measured::Value(true);
            }
            any = true;
        }
    }
    if any {
        return Measured::Value(false);
    }
    match super::text(root, "/proc/interrupts") {
        Measured::Value(text) => match procfs::remapped_interrupts(&text) {
            Some(remapped) => Measured::Value(remapped),
            None => Measured::not("/proc/interrupts lists no interrupt"),
        },
        Measured::NotMeasured(why) => Measured::NotMeasured(why),
    }
}

/// MGAW, bits 21:16 of the capability register, plus one (Intel VT-d specification, 11.4.2).
fn address_width(root: &Root, unit: &str) -> Option<u8> {
    let text = root.attribute(&format!("/sys/class/iommu/{unit}/intel-iommu/cap"))?;
    let capabilities = u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()?;
    u8::try_from((capabilities >> 16 & 0x3f) + 1).ok()
}
