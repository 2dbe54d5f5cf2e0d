//! What libvirt and QEMU of a host offer: the answer of `virsh domcapabilities`
//! (<https://libvirt.org/formatdomaincaps.html>).

use alloc::{
    collections::BTreeSet,
    format,
    string::{String, ToString},
};
use roxmltree::{Document, Node};

use super::node::child;
use crate::plan::Refusal;

/// What to ask of virsh, so that the answer is about guests like ours.
pub const QUESTION: [&str; 7] = [
    "domcapabilities",
    "--virttype",
    "kvm",
    "--arch",
    "x86_64",
    "--machine",
    "q35",
];

/// What a guest may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Hyper-V enlightenments, by libvirt's names.
    pub hyperv: BTreeSet<String>,
    /// Parts of them that a guest gets by default with `<hyperv mode='host-model'>`, such as
    /// `stimer_direct` (libvirt 11.9); which is how newer versions say that they work here.
    pub hyperv_defaults: BTreeSet<String>,
    /// UEFI firmware is installed.
    pub efi: bool,
    /// Firmware with Secure Boot is installed.
    pub secure_boot: bool,
    /// swtpm is installed.
    pub tpm: bool,
    /// QEMU has SPICE.
    pub spice: bool,
    /// libvirt cannot limit the guest's address bits (before 9.3); only its schema tells.
    pub no_address_limit: bool,
}

impl Capabilities {
    /// Adds what only libvirt's schema tells (schemas/cputypes.rng): whether `<maxphysaddr>` has a
    /// limit. A text that is no schema tells nothing.
    #[must_use]
    pub fn with_schema(mut self, schema: &str) -> Self {
        if let Ok(document) = Document::parse(schema) {
            self.no_address_limit = !document
                .descendants()
                .filter(|node| node.attribute("name") == Some("maxphysaddr"))
                .flat_map(|node| node.descendants())
                .any(|node| node.attribute("name") == Some("limit"));
        }
        self
    }

    /// Reads an answer. What it does not name is not offered.
    ///
    /// # Errors
    /// If the text is no such answer, or says that there is no KVM.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let document = Document::parse(text).map_err(|error| refuse(&error.to_string()))?;
        let root = document.root_element();
        if !root.has_tag_name("domainCapabilities") {
            let name = root.tag_name().name();
            return Err(refuse(&format!(
                "it begins with <{name}>, not with <domainCapabilities>"
            )));
        }
        if let Some(kind) = child(root, "domain").and_then(|node| node.text())
            && kind != "kvm"
        {
            return Err(Refusal {
                id: "guest.host.no-kvm".into(),
                why: format!("libvirt answers for guests of type {kind}, so KVM does not work here."),
                way_out: "Turn virtualization (VT-x, SVM) on in the firmware; passthru doctor tells more."
                    .into(),
            });
        }
        let os = child(root, "os");
        let devices = child(root, "devices");
        let device = |name| devices.and_then(|node| supported(node, name));
        let hyperv = child(root, "features").and_then(|node| supported(node, "hyperv"));
        Ok(Self {
            hyperv: values(hyperv, "features"),
            hyperv_defaults: hyperv
                .and_then(|node| child(node, "defaults"))
                .into_iter()
                .flat_map(|node| node.children())
                .filter(|node| node.text().is_some_and(|text| text.trim() == "on"))
                .map(|node| node.tag_name().name().into())
                .collect(),
            efi: values(os, "firmware").contains("efi"),
            secure_boot: values(os.and_then(|node| child(node, "loader")), "secure")
                .contains("yes"),
            tpm: values(device("tpm"), "backendModel").contains("emulator"),
            spice: values(device("graphics"), "type").contains("spice"),
            no_address_limit: false,
        })
    }
}

fn refuse(why: &str) -> Refusal {
    Refusal {
        id: "guest.host.answer".into(),
        why: format!("What should be libvirt's answer about this host cannot be read: {why}."),
        way_out: format!("Ask it by hand: virsh {}", QUESTION.join(" ")),
    }
}

fn supported<'a, 'b>(node: Node<'a, 'b>, name: &str) -> Option<Node<'a, 'b>> {
    child(node, name).filter(|node| node.attribute("supported") == Some("yes"))
}

/// The values of `<enum name='…'>` below `node`.
fn values(node: Option<Node<'_, '_>>, name: &str) -> BTreeSet<String> {
    node.into_iter()
        .flat_map(|node| node.children())
        .filter(|node| node.has_tag_name("enum") && node.attribute("name") == Some(name))
        .flat_map(|node| node.children())
        .filter(|node| node.has_tag_name("value"))
        .filter_map(|node| node.text())
        .map(|text| text.trim().into())
        .collect()
}
