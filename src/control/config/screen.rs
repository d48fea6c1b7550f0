//! What screens mail from strangers, as configured.

use std::collections::HashSet;

use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub struct Screen {
    pub rbl: Vec<RblList>,
    pub rbl_settings: RblSettings,
    pub trusted_sender_domains: HashSet<String>,
    pub connection_check: ConnectionCheck,
    pub greylist: Greylist,
    pub traffic: Traffic,
    pub traffic_rules: Vec<TrafficRule>,
    pub smtp_limit: SmtpLimit,
}

#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum RblKind {
    Ip,
    Domain,
}

#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum RblAction {
    Reject,
    Tempfail,
    Mark,
    Score,
    Allow,
}

#[derive(Debug, Deserialize)]
pub struct RblList {
    pub zone: String,
    pub kind: RblKind,
    pub answers: Vec<String>,
    pub action: RblAction,
    pub weight: i32,
}

#[derive(Debug, Deserialize)]
pub struct RblSettings {
    pub timeout_seconds: u32,
    pub mark_score: i32,
    pub reject_score: i32,
    pub trusted_ip_list_id: Option<i64>,
    pub exempt_postmaster: bool,
}

#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum CheckAction {
    Off,
    Mark,
    Tempfail,
    Reject,
}

#[derive(Debug, Deserialize)]
pub struct ConnectionCheck {
    pub no_reverse_name: CheckAction,
    pub reverse_name_unconfirmed: CheckAction,
    pub helo_not_qualified: CheckAction,
    pub helo_unknown: CheckAction,
    pub helo_is_us: CheckAction,
    pub helo_wrong_literal: CheckAction,
    pub timeout_seconds: u32,
}

#[derive(Debug, Deserialize)]
pub struct Greylist {
    pub enabled: bool,
    pub delay_seconds: i64,
    pub retry_hours: i32,
    pub expire_days: i32,
    pub ipv4_prefix: u8,
    pub ipv6_prefix: u8,
    pub allow_after: i32,
    pub skip_spf_pass: bool,
    pub skip_allow_listed: bool,
    pub skip_confirmed_names: bool,
}

#[derive(Debug, Deserialize)]
pub struct Traffic {
    pub interval_minutes: u32,
    pub history_days: i32,
}

#[derive(Debug, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum TrafficDirection {
    Incoming,
    Outgoing,
}

#[derive(Debug, Deserialize)]
pub struct TrafficRule {
    pub direction: TrafficDirection,
    pub pattern: String,
    pub max_messages: i64,
    pub max_megabytes: i64,
}

#[derive(Debug, Deserialize)]
pub struct SmtpLimit {
    pub account_messages_per_minute: i64,
    pub account_messages_per_hour: i64,
    pub account_recipients_per_hour: i64,
    pub peer_connections_per_minute: i64,
    pub peer_messages_per_minute: i64,
    pub peer_recipients_per_minute: i64,
    pub peer_unknown_recipients_per_hour: i64,
    pub tarpit_after_errors: u32,
    pub tarpit_seconds: u32,
}

/// The settings of a new installation, for tests without a database.
#[cfg(test)]
pub(crate) fn sample() -> serde_json::Value {
    serde_json::json!({
        "rbl": [],
        "rbl_settings": {"timeout_seconds": 5, "mark_score": 5, "reject_score": 10, "exempt_postmaster": true},
        "trusted_sender_domains": [],
        "connection_check": {
            "no_reverse_name": "off", "reverse_name_unconfirmed": "off", "helo_not_qualified": "off",
            "helo_unknown": "off", "helo_is_us": "mark", "helo_wrong_literal": "mark", "timeout_seconds": 5
        },
        "greylist": {
            "enabled": false, "delay_seconds": 300, "retry_hours": 24, "expire_days": 36, "ipv4_prefix": 24,
            "ipv6_prefix": 64, "allow_after": 5, "skip_spf_pass": true, "skip_allow_listed": true,
            "skip_confirmed_names": false
        },
        "traffic": {"interval_minutes": 15, "history_days": 30},
        "traffic_rules": [],
        "smtp_limit": {
            "account_messages_per_minute": 0, "account_messages_per_hour": 0, "account_recipients_per_hour": 10000,
            "peer_connections_per_minute": 0, "peer_messages_per_minute": 0, "peer_recipients_per_minute": 0,
            "peer_unknown_recipients_per_hour": 500, "tarpit_after_errors": 5, "tarpit_seconds": 0
        }
    })
}
