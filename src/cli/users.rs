//! Names of users, as `/etc/passwd` has them: system users are made by sysusers.d and are nowhere else.

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
