//! A folder of the file system beside the simulated storage: the same checks hold for both.

use std::io;

use rejoin_actors::disk::FolderStorage;
use rejoin_persistence::storage::conformance::CHECKS;

#[test]
fn a_real_folder_behaves_as_any_storage() -> io::Result<()> {
    for (what, check) in CHECKS {
        let folder = tempfile::tempdir()?;
        let checked = check(&FolderStorage::new(folder.path().to_owned()));
        checked.map_err(|error| io::Error::new(error.kind(), format!("{what}: {error}")))?;
    }
    Ok(())
}
