//! The node's files.

mod folder;
pub(crate) mod load;

pub use folder::FolderStorage;
