//! Page sizes: which huge pages the host offers, and which a map really got.

use std::fs;

use rtt_units::Bytes;

/// Pages wished for the data area.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pages {
    /// The machine's base pages.
    Small,
    /// Reserved 2 MiB pages, else transparent ones; base pages where neither is to be had.
    Huge,
}

/// Size of the reserved pages asked for.
pub(crate) const HUGETLB: Bytes = Bytes(2 << 20);

const RESERVED: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
const SHMEM: &str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";
const SHMEM_2M: &str = "/sys/kernel/mm/transparent_hugepage/hugepages-2048kB/shmem_enabled";

/// The machine's base page size.
pub(crate) fn base() -> Bytes {
    Bytes(rustix::param::page_size() as u64)
}

/// Whether huge pages of either kind can be had now, else why not.
pub(crate) fn available() -> Result<(), String> {
    let free = fs::read_to_string(RESERVED).ok().and_then(|text| text.trim().parse::<u64>().ok());
    match free {
        Some(1..) => Ok(()),
        _ => transparent().map_err(|reason| {
            let free = free.map_or("unreadable".to_owned(), |pages| pages.to_string());
            format!("{RESERVED} is {free}, expected at least 1 (set nr_hugepages); {reason}")
        }),
    }
}

/// Whether a shared-memory map that is advised gets transparent huge pages, else why not.
pub(crate) fn transparent() -> Result<(), String> {
    let general = selected(&fs::read_to_string(SHMEM).unwrap_or_default());
    let own = selected(&fs::read_to_string(SHMEM_2M).unwrap_or_default());
    if grants(own.as_deref(), general.as_deref()) {
        return Ok(());
    }
    let shown = general.unwrap_or_else(|| "unreadable".to_owned());
    Err(format!("{SHMEM} is {shown}, expected advise, within_size or always"))
}

/// The setting for the page size counts where the kernel has one; `inherit` leads to the general one.
fn grants(own: Option<&str>, general: Option<&str>) -> bool {
    let grant = |setting: Option<&str>| matches!(setting, Some("advise" | "within_size" | "always" | "force"));
    match own {
        Some("inherit") | None => grant(general),
        own => grant(own) || general == Some("force"),
    }
}

/// The choice in brackets, as the kernel writes it: `always [madvise] never`.
fn selected(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(choice, _)| choice.to_owned())
}

/// The page size of the map that begins at `address`, from smaps: the huge one only if it holds throughout.
pub(crate) fn observed(address: usize) -> Option<Bytes> {
    map_page_size(&fs::read_to_string("/proc/self/smaps").ok()?, address)
}

fn map_page_size(smaps: &str, address: usize) -> Option<Bytes> {
    let mut lines = smaps.lines().skip_while(|line| {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let bound = |text: &str| usize::from_str_radix(text, 16).ok();
        !range
            .and_then(|(low, high)| Some((bound(low)?, bound(high)?)))
            .is_some_and(|(low, high)| (low..high).contains(&address))
    });
    lines.next()?;
    let (mut size, mut kernel_page, mut huge) = (None, None, 0);
    for line in lines {
        let Some((key, value)) = line.split_once(':') else { break };
        let kib = value.trim().strip_suffix(" kB").and_then(|number| number.trim().parse::<u64>().ok());
        match (key, kib) {
            ("Size", kib) => size = kib,
            ("KernelPageSize", kib) => kernel_page = kib,
            ("ShmemPmdMapped", Some(kib)) => huge = kib,
            (key, None) if key.contains('-') => break, // The next map's first line.
            _ => {}
        }
    }
    let whole = size.is_some_and(|size| size > 0 && huge >= size);
    if whole { Some(HUGETLB) } else { kernel_page.map(|kib| Bytes(kib << 10)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smaps_tell_the_page_size_of_the_right_map() {
        let map = |range: &str, page: u64, pmd: u64| {
            format!(
                "{range} rw-s 00000000 00:01 7 /memfd:x (deleted)\nSize: 4096 kB\nKernelPageSize: {page} kB\nShmemPmdMapped: {pmd} kB\nVmFlags: rd wr\n"
            )
        };
        let smaps =
            [map("1000-2000", 4, 0), map("2000-3000", 4, 4096), map("3000-4000", 4, 2048), map("4000-5000", 2048, 0)]
                .concat();
        for (address, kib) in [(0x1000, 4), (0x2000, 2048), (0x2fff, 2048), (0x3000, 4), (0x4abc, 2048)] {
            assert_eq!(map_page_size(&smaps, address), Some(Bytes(kib << 10)), "address {address:#x}");
        }
        assert_eq!(map_page_size(&smaps, 0x5000), None);
    }

    #[test]
    fn the_setting_of_the_page_size_goes_before_the_general_one() {
        for (own, general, granted) in [
            (None, Some("advise"), true),
            (None, Some("never"), false),
            (Some("inherit"), Some("within_size"), true),
            (Some("inherit"), Some("never"), false),
            (Some("advise"), Some("never"), true),
            (Some("never"), Some("always"), false),
            (None, None, false),
        ] {
            assert_eq!(grants(own, general), granted, "{own:?} under {general:?}");
        }
        assert_eq!(selected("always within_size [advise] never").as_deref(), Some("advise"));
    }
}
