//! The hypervisor's name, as the CPU or the firmware tells it.
#![allow(unsafe_code)] // One `cpuid`: no file shows the vendor on a guest without firmware tables.

#[cfg(not(target_arch = "x86_64"))]
use crate::procfs::text;
use std::path::Path;

/// The hypervisor's vendor as the virtual CPU names itself (`KVM`, `VMware`), or `none`.
#[cfg(target_arch = "x86_64")]
pub(crate) fn hypervisor(_root: &Path) -> String {
    use std::arch::x86_64::__cpuid;
    // Bit 31 of ECX in leaf 1 is reserved for hypervisors. Source: Linux arch/x86/kernel/cpu/hypervisor.c.
    #[allow(unused_unsafe, reason = "later compilers take the call for safe")]
    // SAFETY: x86-64 CPUs have the instruction and leaf 1.
    let present = unsafe { __cpuid(1) }.ecx >> 31 & 1 == 1;
    if !present {
        return "none".into();
    }
    #[allow(unused_unsafe, reason = "later compilers take the call for safe")]
    // SAFETY: as above; a leaf that the CPU does not have answers with other leaves' values.
    let leaf = unsafe { __cpuid(0x4000_0000) };
    let bytes: Vec<u8> = [leaf.ebx, leaf.ecx, leaf.edx].iter().flat_map(|word| word.to_le_bytes()).collect();
    vendor(&bytes)
}

/// The hypervisor's vendor as firmware names the machine, or `none`.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn hypervisor(root: &Path) -> String {
    let node = root.join("sys/firmware/devicetree/base/hypervisor/compatible");
    if let Some(compatible) = text(&node) {
        return compatible.trim_end_matches('\0').into();
    }
    let maker = text(&root.join("sys/class/dmi/id/sys_vendor")).unwrap_or_default();
    let known = ["QEMU", "KVM", "VMware", "Xen", "Microsoft Corporation", "Amazon EC2", "Google"];
    known.into_iter().find(|name| maker.contains(name)).unwrap_or("none").into()
}

/// The twelve bytes of the vendor leaf in the words that `lscpu` uses, else as they stand.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
fn vendor(bytes: &[u8]) -> String {
    let text: String = bytes.iter().filter(|byte| byte.is_ascii_graphic()).map(|byte| *byte as char).collect();
    match text.as_str() {
        "KVMKVMKVM" => "KVM".into(),
        "VMwareVMware" => "VMware".into(),
        "MicrosoftHv" => "Hyper-V".into(),
        "XenVMMXenVMM" => "Xen".into(),
        "TCGTCGTCGTCG" => "QEMU".into(),
        "" => "unknown".into(),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn vendors_are_named_and_unknown_ones_kept() {
        for (bytes, name) in [
            (&b"KVMKVMKVM\0\0\0"[..], "KVM"),
            (b"VMwareVMware", "VMware"),
            (b"Microsoft Hv", "Hyper-V"),
            (b"bhyve bhyve ", "bhyvebhyve"),
            (b"\0\0\0\0\0\0\0\0\0\0\0\0", "unknown"),
        ] {
            assert_eq!(super::vendor(bytes), name);
        }
    }
}
