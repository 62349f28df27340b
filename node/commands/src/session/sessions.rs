//! All sessions of the shard, in slots: a turn finds its session by a remembered slot, without hashing.

use std::collections::HashMap;

use rejoin_protocol::ClientId;

use crate::Session;

/// Where a session lies; stays valid until the session is removed, and is checked against the id on every use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u32);

/// All sessions of the shard.
#[derive(Debug, Default)]
pub struct Sessions {
    /// `None` for a slot that is free, or whose session executes right now.
    slots: Vec<Option<Box<Session>>>,
    by_id: HashMap<ClientId, Slot>,
    free: Vec<Slot>,
}

impl Sessions {
    /// Adds a session. Its id must be new.
    pub fn insert(&mut self, session: Session) {
        let id = session.id;
        let session = Some(Box::new(session));
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot.0 as usize] = session;
                slot
            }
            None => {
                let slot = Slot(u32::try_from(self.slots.len()).unwrap_or(u32::MAX));
                self.slots.push(session);
                slot
            }
        };
        let previous = self.by_id.insert(id, slot);
        assert!(previous.is_none(), "client ids are unique: {id} was given twice");
    }

    /// Forgets a session; [`crate::Engine::session_closed`] also releases what it held elsewhere. The session that
    /// executes right now cannot be removed: handlers ask for that by [`crate::Effect::CloseClient`].
    pub fn remove(&mut self, id: ClientId) -> Option<Box<Session>> {
        let slot = *self.by_id.get(&id)?;
        let session = self.slots[slot.0 as usize].take()?;
        self.by_id.remove(&id);
        self.free.push(slot);
        Some(session)
    }

    /// A session, unless it is the one that executes right now.
    #[must_use]
    pub fn get(&self, id: ClientId) -> Option<&Session> {
        self.slots[self.by_id.get(&id)?.0 as usize].as_deref()
    }

    /// A session for writing, unless it is the one that executes right now.
    pub fn get_mut(&mut self, id: ClientId) -> Option<&mut Session> {
        self.slots[self.by_id.get(&id)?.0 as usize].as_deref_mut()
    }

    /// All but the one that executes right now, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.slots.iter().filter_map(Option::as_deref)
    }

    /// All but the one that executes right now, in no order, for writing.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.slots.iter_mut().filter_map(Option::as_deref_mut)
    }

    /// How many, the executing one included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(crate) fn slot_of(&self, id: ClientId) -> Option<Slot> {
        self.by_id.get(&id).copied()
    }

    /// The session of `id`, if it is the one that lies at `slot`.
    #[inline]
    pub(crate) fn at(&self, slot: Slot, id: ClientId) -> Option<&Session> {
        self.slots.get(slot.0 as usize)?.as_deref().filter(|session| session.id == id)
    }

    /// Takes a session out to execute; [`Sessions::put_back`] must follow.
    #[inline]
    pub(crate) fn take(&mut self, slot: Slot, id: ClientId) -> Option<Box<Session>> {
        self.slots.get_mut(slot.0 as usize)?.take_if(|session| session.id == id)
    }

    #[inline]
    pub(crate) fn put_back(&mut self, slot: Slot, session: Box<Session>) {
        let previous = self.slots[slot.0 as usize].replace(session);
        debug_assert!(previous.is_none(), "a slot was given away while its session executed");
    }
}

#[cfg(test)]
mod tests {
    use rejoin_protocol::UnixMillis;

    use super::*;

    fn session(id: u64) -> Session {
        Session::new(ClientId::new(id), String::new(), String::new(), UnixMillis::new(0))
    }

    #[test]
    fn a_slot_that_was_given_to_another_client_is_noticed() {
        let mut sessions = Sessions::default();
        sessions.insert(session(1));
        let slot = sessions.slot_of(ClientId::new(1));
        assert!(sessions.remove(ClientId::new(1)).is_some());
        sessions.insert(session(2));
        assert_eq!(sessions.slot_of(ClientId::new(2)), slot);
        assert!(slot.is_some_and(|slot| sessions.take(slot, ClientId::new(1)).is_none()));
        assert_eq!(sessions.len(), 1);
    }

    #[test]
    fn the_executing_session_is_neither_listed_nor_removed() {
        let mut sessions = Sessions::default();
        sessions.insert(session(1));
        let id = ClientId::new(1);
        let slot = sessions.slot_of(id);
        let taken = slot.and_then(|slot| sessions.take(slot, id));
        assert_eq!((sessions.len(), sessions.iter().count()), (1, 0));
        assert!(sessions.remove(id).is_none());
        if let (Some(slot), Some(taken)) = (slot, taken) {
            sessions.put_back(slot, taken);
        }
        assert!(sessions.get(id).is_some());
    }
}
