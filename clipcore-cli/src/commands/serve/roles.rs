use std::fmt;
use std::str::FromStr;

use clipcore::Error;

/// A part of the work that a process can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Takes events in, and answers questions.
    Gateway,
    /// Runs streams: records their media, fuses, cuts, and detects what no pool does.
    Fuse,
    /// Runs the detectors of pools.
    Detect,
    /// Gives what was found to sinks.
    Deliver,
}

impl Role {
    const ALL: [Self; 4] = [Self::Gateway, Self::Fuse, Self::Detect, Self::Deliver];
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gateway => "gateway",
            Self::Fuse => "fuse",
            Self::Detect => "detect",
            Self::Deliver => "deliver",
        })
    }
}

/// Some of the roles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles(Vec<Role>);

impl Roles {
    pub(super) fn contains(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    pub(super) fn are_only(&self, role: Role) -> bool {
        self.0 == [role]
    }

    pub(super) fn are_all(&self) -> bool {
        Role::ALL.iter().all(|role| self.contains(*role))
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(Role::to_string).collect();
        f.write_str(&names.join(", "))
    }
}

impl FromStr for Roles {
    type Err = Error;

    fn from_str(list: &str) -> Result<Self, Error> {
        let role = |name: &str| match name.trim() {
            "gateway" => Ok(Role::Gateway),
            // Clips are cut where the recording is, and the clock is the recording's: one process does both.
            "fuse" | "record" => Ok(Role::Fuse),
            "detect" => Ok(Role::Detect),
            "deliver" => Ok(Role::Deliver),
            other => Err(Error::config(format!("there is no role {other:?}"))
                .with_hint("roles are gateway, fuse (or record: the same process), detect, deliver")),
        };
        let mut roles = list.split(',').map(role).collect::<Result<Vec<_>, _>>()?;
        roles.sort();
        roles.dedup();
        Ok(Self(roles))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_with_their_other_names() {
        let some: Roles = "deliver, record,detect".parse().unwrap();
        assert_eq!(some.to_string(), "fuse, detect, deliver");
        assert!(!some.are_all() && "gateway,fuse,deliver,detect".parse::<Roles>().unwrap().are_all());
        let error = "gateway,cook".parse::<Roles>().unwrap_err().to_string();
        assert!(error.contains("\"cook\""), "{error}");
    }
}
