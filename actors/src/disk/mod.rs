//! The node's files: where they lie, and the thread that does what may block.

mod folder;
pub(crate) mod load;
pub(crate) mod rewind;
pub(crate) mod worker;

pub use folder::FolderStorage;
pub use worker::DiskReport;

/// Where older files of the log go.
pub(crate) const HISTORY_FOLDER: &str = "replhistory";
