//! FUNCTION in the master's stream: libraries are kept and passed on, unread, since this node cannot run them. Masters send the
//! effects of a function, never its call.

use rejoin_persistence::rdb::{decode_functions, library_name};

use crate::{Engine, Failure};

impl Engine {
    /// Applies FUNCTION LOAD, DELETE, FLUSH or RESTORE; `args` is the whole command.
    pub(crate) fn apply_function(&mut self, args: &[&[u8]]) -> Result<(), Failure> {
        let subcommand = args.get(1).map(|name| name.to_ascii_lowercase()).unwrap_or_default();
        match (subcommand.as_slice(), args.get(2..).unwrap_or_default()) {
            (b"load", [options @ .., code]) => {
                let replaces = options.iter().any(|option| option.eq_ignore_ascii_case(b"replace"));
                self.load_library(code, replaces)
            }
            (b"delete", [name]) => match self.keyspace.libraries_mut().remove(*name) {
                Some(_) => Ok(()),
                None => Err(Failure::text("ERR Library not found")),
            },
            (b"flush", _) => {
                self.keyspace.libraries_mut().clear();
                Ok(())
            }
            (b"restore", [payload, policy @ ..]) => self.restore_libraries(payload, policy.first().copied()),
            _ => Err(Failure::text("ERR unknown subcommand of FUNCTION")),
        }
    }

    fn load_library(&mut self, code: &[u8], replaces: bool) -> Result<(), Failure> {
        let name = library_name(code);
        if name.is_empty() {
            return Err(Failure::text("ERR Library name was not given"));
        }
        let libraries = self.keyspace.libraries_mut();
        if !replaces && libraries.contains_key(name) {
            let name = String::from_utf8_lossy(name);
            return Err(Failure::text(format!("ERR Library '{name}' already exists")));
        }
        libraries.insert(name.into(), code.into());
        Ok(())
    }

    fn restore_libraries(&mut self, payload: &[u8], policy: Option<&[u8]>) -> Result<(), Failure> {
        let restored = decode_functions(payload).map_err(|error| Failure::text(format!("ERR {error}")))?;
        let policy = policy.unwrap_or(b"append").to_ascii_lowercase();
        let libraries = self.keyspace.libraries_mut();
        match policy.as_slice() {
            b"flush" => libraries.clear(),
            b"replace" => {}
            _ => {
                if let Some(name) = restored.keys().find(|name| libraries.contains_key(*name)) {
                    let name = String::from_utf8_lossy(name);
                    return Err(Failure::text(format!("ERR Library {name} already exists")));
                }
            }
        }
        libraries.extend(restored);
        Ok(())
    }
}
