//! What the agent tells of its connections, for the ledger.

use serde::{Deserialize, Serialize};

use super::text;

/// A change of the agent's connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "network", rename_all = "kebab-case", deny_unknown_fields)]
pub enum NetworkReport {
    /// The broker hears the box, and the box hears commands.
    BrokerConnected {},
    /// The connection to the broker was lost, or could not be made.
    BrokerLost {
        /// Why; cut at 200 bytes.
        #[serde(deserialize_with = "text::why")]
        reason: String,
    },
    /// The broker did not let the box in.
    BrokerRefused {
        /// What it said; cut at 200 bytes.
        #[serde(deserialize_with = "text::why")]
        reason: String,
    },
    /// A connection was not made: the configuration does not allow it.
    DestinationRefused {
        /// The host or address; cut at 64 bytes.
        #[serde(deserialize_with = "text::name")]
        host: String,
        /// Why; cut at 200 bytes.
        #[serde(deserialize_with = "text::why")]
        why: String,
    },
}

/// Who wanted a connection.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connector {
    /// The agent: to the broker, or for an update.
    Agent,
    /// Capture: to an ingest server.
    Capture,
}
