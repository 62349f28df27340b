//! The node's files.

mod folder;

pub use folder::FolderStorage;
