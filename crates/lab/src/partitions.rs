//! The partitions of a host's disk, made and read without loop devices.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use crate::error::Result;
use crate::recipe::Firmware;
use crate::{command, ensure};

/// Where the first partition starts: the usual place, with room for GRUB before it.
const FIRST: u64 = 1 << 20;

const SECTOR: u64 = 512;

/// The root file system's UUID.
pub const ROOT: &str = "1ab00000-0000-4000-8000-000000000001";
/// The EFI system partition's volume id, as mkfs.vfat and as `/etc/fstab` want it.
const ESP: (&str, &str) = ("1ab00002", "1AB0-0002");

/// Where things are on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of the whole disk.
    size: u64,
    /// First byte of the EFI system partition, where there is one.
    pub esp: Option<u64>,
    /// First byte of the root file system.
    pub root: u64,
    /// The byte after it.
    end: u64,
}

/// What the disk of a host with that firmware looks like.
pub fn layout(firmware: Firmware) -> Layout {
    match firmware {
        Firmware::Bios => Layout {
            size: 2 << 30,
            esp: None,
            root: FIRST,
            end: 2 << 30,
        },
        // Room for several kernels with their images, twice; the table's copy needs the end.
        Firmware::Efi => Layout {
            size: 4 << 30,
            esp: Some(FIRST),
            root: FIRST + (1 << 30),
            end: (4 << 30) - FIRST,
        },
    }
}

/// The host's `/etc/fstab`.
pub fn fstab(firmware: Firmware) -> String {
    let mut text = format!("UUID={ROOT} / ext4 errors=remount-ro 0 1\n");
    if firmware == Firmware::Efi {
        text.push_str(&format!("UUID={} /boot/efi vfat umask=0077 0 1\n", ESP.1));
    }
    text
}

/// A disk with a tree as its root file system.
pub fn assemble(firmware: Firmware, root: &Path, raw: &Path) -> Result<()> {
    let layout = layout(firmware);
    let mut disk = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(raw)?;
    disk.set_len(layout.size)?;
    let kib = (layout.end - layout.root) / 1024;
    command::run(
        "mke2fs",
        [
            OsStr::new("-qF"),
            OsStr::new("-text4"),
            OsStr::new("-Llab"),
            OsStr::new("-U"),
            OsStr::new(ROOT),
            OsStr::new("-E"),
            OsStr::new(&format!("offset={},lazy_itable_init=1", layout.root)),
            OsStr::new("-d"),
            root.as_os_str(),
            raw.as_os_str(),
            OsStr::new(&format!("{kib}k")),
        ],
    )?;
    match layout.esp {
        None => install_grub(root, &mut disk, &layout),
        Some(start) => partition(raw, &layout, start),
    }
}

/// GRUB's own defaults: the boot sector loads the image that starts in the next sector, which
/// knows its own length.
fn install_grub(root: &Path, disk: &mut File, layout: &Layout) -> Result<()> {
    let grub = root.join("boot/grub/i386-pc");
    let mut boot = [0; SECTOR as usize];
    File::open(grub.join("boot.img"))?.read_exact(&mut boot)?;
    boot[440..].copy_from_slice(&partition_table(layout));
    disk.seek(SeekFrom::Start(0))?;
    disk.write_all(&boot)?;
    let core = fs::read(grub.join("core.img"))?;
    ensure!(
        core.len() as u64 <= layout.root - SECTOR,
        "GRUB does not fit before the disk"
    );
    disk.write_all(&core)?;
    Ok(())
}

/// The last 72 bytes of the boot sector: disk signature, one bootable Linux partition, magic.
fn partition_table(layout: &Layout) -> [u8; 72] {
    let mut table = [0; 72];
    table[..4].copy_from_slice(&0x1ab0_1ab0_u32.to_le_bytes());
    let first = layout.root / SECTOR;
    let count = (layout.end - layout.root) / SECTOR;
    let entry = &mut table[6..22];
    entry[0] = 0x80;
    // Cylinders, heads and sectors: "beyond what they can say".
    entry[1..4].copy_from_slice(&[0xfe, 0xff, 0xff]);
    entry[4] = 0x83;
    entry[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
    entry[8..12].copy_from_slice(&(first as u32).to_le_bytes());
    entry[12..].copy_from_slice(&(count as u32).to_le_bytes());
    table[70..].copy_from_slice(&[0x55, 0xaa]);
    table
}

/// A GUID partition table with an empty EFI system partition in front of the root file system.
fn partition(raw: &Path, layout: &Layout, esp: u64) -> Result<()> {
    let sectors = |from: u64, to: u64| (from / SECTOR, (to - from) / SECTOR);
    let (esp_start, esp_count) = sectors(esp, layout.root);
    let (root_start, root_count) = sectors(layout.root, layout.end);
    let table = format!(
        "label: gpt\nlabel-id: 1AB00000-0000-4000-8000-000000000000\n\
         start={esp_start}, size={esp_count}, type=uefi, name=esp, \
         uuid=1AB00000-0000-4000-8000-0000000000E5\n\
         start={root_start}, size={root_count}, type=linux, name=root, \
         uuid=1AB00000-0000-4000-8000-0000000000F5\n"
    );
    command::feed("sfdisk", [OsStr::new("-q"), raw.as_os_str()], &table)?;
    command::run(
        "mkfs.vfat",
        [
            OsStr::new("-F32"),
            OsStr::new("-nESP"),
            OsStr::new("-i"),
            OsStr::new(ESP.0),
            OsStr::new(&format!("--offset={esp_start}")),
            raw.as_os_str(),
            OsStr::new(&format!("{}", (layout.root - esp) / 1024)),
        ],
    )?;
    Ok(())
}

/// Copies the files of the EFI system partition into a folder; this machine's kernel may know no
/// FAT.
pub fn copy_esp(raw: &Path, start: u64, folder: &Path) -> Result<()> {
    let image = raw.to_str().ok_or("the disk's path is not UTF-8")?;
    command::run(
        "mcopy",
        [
            OsStr::new("-snQ"),
            OsStr::new("-i"),
            OsStr::new(&format!("{image}@@{start}")),
            OsStr::new("::/*"),
            folder.as_os_str(),
        ],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_is_where_the_file_system_is() {
        let layout = layout(Firmware::Bios);
        let table = partition_table(&layout);
        assert_eq!(table[70..], [0x55, 0xaa]);
        assert_eq!(table[6], 0x80);
        assert_eq!(u32::from_le_bytes(table[14..18].try_into().unwrap()), 2048);
        let sectors = u64::from(u32::from_le_bytes(table[18..22].try_into().unwrap()));
        assert_eq!(sectors * SECTOR + layout.root, layout.size);
    }

    #[test]
    fn partitions_do_not_overlap() {
        let layout = layout(Firmware::Efi);
        let esp = layout.esp.unwrap();
        assert!(esp < layout.root && layout.root < layout.end);
        // 33 sectors of the table's copy.
        assert!(layout.end + 33 * SECTOR <= layout.size);
        for start in [esp, layout.root, layout.end] {
            assert_eq!(start % FIRST, 0);
        }
    }

    #[test]
    fn an_esp_is_mounted_where_there_is_one() {
        assert_eq!(fstab(Firmware::Bios).lines().count(), 1);
        assert!(fstab(Firmware::Efi).contains("UUID=1AB0-0002 /boot/efi vfat "));
    }
}
