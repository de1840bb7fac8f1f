//! What happens on the server in one step each.

use crate::redis::Lua;

#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) open: Lua,
    pub(super) append: Lua,
    pub(super) acquire: Lua,
    pub(super) claim: Lua,
    pub(super) renew: Lua,
    pub(super) attend: Lua,
    pub(super) checkpoint: Lua,
    pub(super) trim: Lua,
    pub(super) within: Lua,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            open: Lua::new(include_str!("lua/open.lua")),
            append: Lua::new(include_str!("lua/append.lua")),
            acquire: Lua::new(include_str!("lua/acquire.lua")),
            claim: Lua::new(include_str!("lua/claim.lua")),
            renew: Lua::new(include_str!("lua/renew.lua")),
            attend: Lua::new(include_str!("lua/attend.lua")),
            checkpoint: Lua::new(include_str!("lua/checkpoint.lua")),
            trim: Lua::new(include_str!("lua/trim.lua")),
            within: Lua::new(include_str!("lua/within.lua")),
        }
    }
}
