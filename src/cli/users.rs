//! Names of users and groups, as `/etc/passwd` and `/etc/group` have them: system users are made by sysusers.d and are
//! nowhere else.

use std::path::Path;

use crate::exit::Exit;

/// The number of a user given by name or number.
pub(super) fn uid(user: &str) -> Result<u32, Exit> {
    if let Ok(uid) = user.parse() {
        return Ok(uid);
    }
    let users = std::fs::read_to_string("/etc/passwd").map_err(|error| Exit::io(format!("/etc/passwd: {error}")))?;
    find(&users, user)
        .ok_or_else(|| Exit::config(format!("there is no user {user}: systemd-sysusers makes tallybox's own")))
}

/// The number of a group, as the files below `root` have it.
pub(super) fn gid(root: &Path, group: &str) -> Option<u32> {
    find(&std::fs::read_to_string(root.join("etc/group")).ok()?, group)
}

/// The third field of the line of `user`: in both files it is the number.
fn find(users: &str, user: &str) -> Option<u32> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(user)).then(|| fields.nth(1))??.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn users_have_numbers() {
        let users = "root:x:0:0::/root:/bin/sh\nroo:x:7:7::/:/bin/sh\nbroken\n";
        assert_eq!(super::find(users, "roo"), Some(7));
        assert_eq!((super::find(users, "broken"), super::find(users, "x")), (None, None));
        assert_eq!(super::uid("0").unwrap(), 0);
        assert_eq!(super::uid("root").unwrap(), 0);
        assert!(super::uid("no-such-user").unwrap_err().to_string().contains("there is no user no-such-user"));
    }
}
