//! Which actors are to come again, and when each may: pure. Nobody is started over what a predecessor set going.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::Role;

/// Those that are not there, and whose predecessors' tasks may be.
#[derive(Debug, Default)]
pub(super) struct Coming {
    /// Failed, or ended as they should; what they set going may still be ending. Nobody else starts them.
    ending: BTreeSet<Role>,
    /// Of these, devices' actors that are ready but for the port's owner.
    for_port: BTreeSet<Role>,
    /// Of these, sessions that are wanted again once they have ended.
    wanted: BTreeSet<Role>,
    /// What they set going did not end within its time: nothing is started over it, for as long as this process lives.
    stuck: BTreeMap<Role, String>,
}

impl Coming {
    /// Its tasks may still be ending: nobody but its own restart starts it.
    pub(super) fn is_coming(&self, role: &Role) -> bool {
        self.ending.contains(role)
    }

    /// Why it is never started again.
    pub(super) fn stuck(&self, role: &Role) -> Option<&str> {
        self.stuck.get(role).map(String::as_str)
    }

    /// It failed: those that are ended with it and come again, in the order of their start. One that is on its way
    /// already has a restart of its own.
    pub(super) fn failed(&mut self, role: &Role) -> Vec<Role> {
        let mut roles = vec![role.clone()];
        if let Role::Serial(device) = role {
            // rest_for_one: the device actor's loan and its link are gone with the port's owner.
            roles.push(Role::Device(device.clone()));
        }
        roles.retain(|role| self.ending.insert(role.clone()));
        roles
    }

    /// Its tasks have ended: whether it is started now. A device's actor waits for the port's owner, and does not come
    /// where that one will not. `has` tells who is there.
    pub(super) fn may_start(&mut self, role: &Role, has: impl Fn(&Role) -> bool) -> bool {
        if !self.ending.contains(role) {
            return false;
        }
        if let Role::Device(device) = role {
            let port = Role::Serial(device.clone());
            if self.ending.contains(&port) {
                self.for_port.insert(role.clone());
                return false;
            }
            if !has(&port) {
                self.forget(role);
                return false;
            }
        }
        self.forget(role);
        true
    }

    /// It is there: who waited for it.
    pub(super) fn started(&self, role: &Role) -> Option<Role> {
        let Role::Serial(device) = role else { return None };
        self.for_port.get(&Role::Device(device.clone())).cloned()
    }

    /// It does not come again by itself. `ended` with it, where their tasks have ended.
    pub(super) fn melted(&mut self, role: &Role, roles: &[Role], ended: bool, why: &str) {
        for role in roles {
            self.forget(role);
            if !ended {
                self.stuck.insert(role.clone(), why.to_owned());
            }
        }
        if let Role::Serial(device) = role {
            let device = Role::Device(device.clone());
            if self.for_port.contains(&device) {
                self.forget(&device);
            }
        }
    }

    /// It ended as it should, and its tasks are ending.
    pub(super) fn ends(&mut self, role: Role) {
        self.ending.insert(role);
    }

    /// It is to be there again as soon as it may.
    pub(super) fn want(&mut self, role: Role) {
        self.wanted.insert(role);
    }

    /// What ended as it should has ended its tasks, or not in time: whether it is wanted again.
    pub(super) fn ended(&mut self, role: &Role, ended: bool) -> bool {
        let wanted = self.wanted.remove(role);
        if !ended {
            self.forget(role);
            self.stuck.insert(role.clone(), "what it set going does not end".into());
        }
        if ended && !wanted {
            self.forget(role);
        }
        ended && wanted
    }

    /// What it set going did not end.
    pub(super) fn is_stuck(&mut self, role: Role) {
        self.stuck.insert(role, "what it set going does not end".into());
    }

    fn forget(&mut self, role: &Role) {
        self.ending.remove(role);
        self.for_port.remove(role);
        self.wanted.remove(role);
    }
}

#[cfg(test)]
mod tests {
    use farmhand_records::{DeviceName, SessionId};

    use super::*;

    fn pair() -> (Role, Role) {
        let name = DeviceName::new("uno-1").unwrap();
        (Role::Serial(name.clone()), Role::Device(name))
    }

    #[test]
    fn a_device_that_failed_before_its_port_did_waits_for_it() {
        let (serial, device) = pair();
        let mut coming = Coming::default();
        assert_eq!(coming.failed(&device), std::slice::from_ref(&device));
        assert_eq!(
            coming.failed(&serial),
            std::slice::from_ref(&serial),
            "the device has a restart of its own"
        );
        // The device's tasks end first.
        assert!(!coming.may_start(&device, |_| false), "its port's owner is not there");
        assert!(coming.is_coming(&device), "and nobody else starts it");
        assert!(coming.may_start(&serial, |_| false));
        let waits = coming.started(&serial).unwrap();
        assert!(coming.may_start(&waits, |role| *role == serial));
        assert!(!coming.is_coming(&device));
        // Or the port's.
        coming.failed(&device);
        coming.failed(&serial);
        assert!(coming.may_start(&serial, |_| false));
        assert_eq!(coming.started(&serial), None, "the device's tasks have not ended");
        assert!(coming.is_coming(&device));
        assert!(coming.may_start(&device, |role| *role == serial));
    }

    #[test]
    fn a_port_that_fails_takes_its_device_with_it_and_both_come_in_order() {
        let (serial, device) = pair();
        let mut coming = Coming::default();
        assert_eq!(coming.failed(&serial), [serial.clone(), device.clone()]);
        assert!(coming.may_start(&serial, |_| false));
        assert!(coming.may_start(&device, |role| *role == serial));
    }

    #[test]
    fn a_port_that_melts_frees_the_device_that_waits_for_it_and_no_other() {
        let (serial, device) = pair();
        let mut coming = Coming::default();
        coming.failed(&device);
        let roles = coming.failed(&serial);
        coming.melted(&serial, &roles, true, "?");
        assert!(coming.is_coming(&device), "its tasks have not ended");
        assert!(!coming.may_start(&device, |_| false), "it has no port");
        assert!(!coming.is_coming(&device));
        assert_eq!(coming.stuck(&device), None);
    }

    #[test]
    fn what_does_not_end_is_never_started_over() {
        let (serial, device) = pair();
        let mut coming = Coming::default();
        let roles = coming.failed(&serial);
        coming.melted(&serial, &roles, false, "it hangs");
        assert_eq!(coming.stuck(&device), Some("it hangs"));
        assert!(!coming.may_start(&serial, |_| false));
        let session = Role::Session(SessionId(1));
        coming.ends(session.clone());
        assert!(!coming.ended(&session, false));
        assert!(coming.stuck(&session).is_some());
    }

    #[test]
    fn a_session_that_is_wanted_while_it_ends_comes_again_after_its_end() {
        let session = Role::Session(SessionId(1));
        let mut coming = Coming::default();
        coming.ends(session.clone());
        assert!(coming.is_coming(&session));
        coming.want(session.clone());
        assert!(coming.ended(&session, true));
        assert!(coming.may_start(&session, |_| false));
        // Once.
        coming.ends(session.clone());
        assert!(!coming.ended(&session, true));
        assert!(!coming.is_coming(&session));
    }
}
