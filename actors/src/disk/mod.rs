//! The node's files: where they lie, and the thread that does what may block.

mod folder;
pub(crate) mod load;
pub(crate) mod worker;

pub use folder::FolderStorage;
use rejoin_persistence::segment::BootId;
pub use worker::DiskReport;

/// Where older files of the log go.
pub(crate) const HISTORY_FOLDER: &str = "replhistory";

/// The present run of the operating system. Where it has no name everything seems to come from the same run, and what
/// a power loss took is noticed by its absence alone.
#[must_use]
pub(crate) fn boot_id() -> BootId {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let mut id = [0; 16];
    let mut digits = text.bytes().filter_map(|byte| char::from(byte).to_digit(16));
    for byte in &mut id {
        let (high, low) = (digits.next().unwrap_or(0), digits.next().unwrap_or(0));
        *byte = (high << 4 | low) as u8;
    }
    BootId(id)
}
