//! The configuration file as CONFIG REWRITE writes it: as a whole or not at all.
//!
//! The new text goes to a file beside the old one, to the disk, and then into its place. Whatever fails before that
//! leaves the old file as it was.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rejoin_commands::Settings;

use crate::words_of;

/// Longer ones are not read at the start either.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// For a file that did not exist.
const NEW_FILE_MODE: u32 = 0o644;

/// Brings `file` to these settings.
pub(super) fn rewrite(file: &str, settings: &Settings) -> Result<(), String> {
    let path = Path::new(file);
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("toml")) {
        return Err("a TOML file is not rewritten; a redis.conf would be".to_owned());
    }
    // What a symbolic link points at is the file, not the link.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    rewrite_at(&path, settings).map_err(|error| words_of(&error))
}

fn rewrite_at(path: &Path, settings: &Settings) -> io::Result<()> {
    let (old, mode) = match File::open(path) {
        Ok(file) => {
            let mode = file.metadata()?.permissions().mode() & 0o777;
            let mut bytes = Vec::new();
            file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
            if bytes.len() as u64 > FILE_BYTES_MAX {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            (bytes, mode)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => (Vec::new(), NEW_FILE_MODE),
        Err(error) => return Err(error),
    };
    let beside = Beside::create(path, mode)?;
    beside.write(&settings.rewrite(&old))?;
    fs::rename(&beside.path, path)?;
    if let Some(directory) = path.parent() {
        // The name is in place; should the power fail now, the old file may come back whole.
        let _ = File::open(directory).and_then(|directory| directory.sync_all());
    }
    Ok(())
}

/// A file that is removed again, unless it was renamed.
struct Beside {
    path: PathBuf,
    file: File,
}

impl Beside {
    fn create(target: &Path, mode: u32) -> io::Result<Self> {
        let mut name = target.as_os_str().to_owned();
        name.push(format!("-{}.{:08x}", std::process::id(), rand::random::<u32>()));
        let path = PathBuf::from(name);
        // Readable by nobody else while it has no mode of its own: it may hold passwords.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let beside = Self { path, file };
        beside.file.set_permissions(fs::Permissions::from_mode(mode))?;
        Ok(beside)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.file).write_all(bytes)?;
        self.file.sync_all()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Gone already if it was renamed.
        let _ = fs::remove_file(&self.path);
    }
}

/// A directory by its full name.
pub(crate) fn existing_directory(path: &str) -> Result<String, String> {
    let found = fs::canonicalize(path).and_then(|path| {
        fs::read_dir(&path)?;
        Ok(path)
    });
    found.map(|path| path.to_string_lossy().into_owned()).map_err(|error| words_of(&error))
}
