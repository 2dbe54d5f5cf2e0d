//! Files for a host, as a tar archive on a read-only disk.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Context as _, Result};
use crate::{bail, ensure};

/// Every payload disk is this big, because a saved machine expects its disk as it was.
const SIZE: u64 = 64 << 20;

/// Unpacks the payload in a host. Blocks that the host has cached may be of an older payload.
pub const UNPACK: &str = "disk=/dev/disk/by-id/virtio-payload
blockdev --flushbufs $disk && dd if=$disk bs=1M iflag=direct status=none | tar -x -C / -f -";

/// Writes a payload disk: (path in the host without the leading slash, file here).
pub fn write(disk: &Path, files: &[(&str, &Path)]) -> Result<()> {
    let mut archive = tar::Builder::new(File::create(disk)?);
    for (path, file) in files {
        let mut header = tar::Header::new_gnu();
        let source = File::open(file).context(|| format!("cannot read {}", file.display()))?;
        header.set_size(source.metadata()?.len());
        header.set_mode(0o755);
        archive.append_data(&mut header, path, source)?;
    }
    let file = archive.into_inner()?;
    ensure!(
        file.metadata()?.len() <= SIZE,
        "the payload is larger than its disk"
    );
    file.set_len(SIZE)?;
    Ok(())
}

/// The passthru binary to try: `PASSTHRU_BIN`, or a fresh release build of this workspace.
pub fn passthru() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("PASSTHRU_BIN") {
        let given = PathBuf::from(given);
        ensure!(
            given.is_file(),
            "PASSTHRU_BIN: {} is not a file",
            given.display()
        );
        return Ok(given);
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "build",
            "--release",
            "-p",
            "passthru",
            "--message-format=json-render-diagnostics",
        ])
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml"))
        .stderr(Stdio::inherit())
        .output()
        .context(|| "cannot start cargo".to_owned())?;
    ensure!(output.status.success(), "passthru does not build");
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        if message["target"]["name"] == "passthru"
            && let Some(executable) = message["executable"].as_str()
        {
            return Ok(executable.into());
        }
    }
    bail!("cargo did not say where the passthru binary is")
}
