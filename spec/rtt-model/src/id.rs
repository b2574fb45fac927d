//! Names of things: digests and keys of 32 bytes, a type for each, so that none is taken for another.
//!
//! Any value is valid. What the bytes are a digest of is decided where they are made.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

id!(
    /// A plan: the digest of its exact payload, so that two envelopes of one payload are one plan.
    PlanId
);
id!(
    /// A state of all participants: the digest over their canonical states.
    Root
);
id!(
    /// The key that signed a plan.
    KeyId
);
id!(
    /// A host: the digest of the public half of its host key.
    HostId
);
id!(
    /// A row of a plan's capabilities.
    CapabilityId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_prints_as_64_digits() {
        let mut bytes = [0; 32];
        bytes[0] = 0xa1;
        assert_eq!(Root(bytes).to_string(), format!("a1{}", "00".repeat(31)));
        assert_eq!(format!("{:?}", PlanId([0x0f; 32])), format!("PlanId({})", "0f".repeat(32)));
    }
}
