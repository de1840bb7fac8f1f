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
    pub(super) seize: Lua,
    pub(super) hand_back: Lua,
    pub(super) rewrite: Lua,
    pub(super) copy: Lua,
    pub(super) swap: Lua,
    pub(super) exchange: Lua,
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
            seize: Lua::new(include_str!("lua/seize.lua")),
            hand_back: Lua::new(include_str!("lua/hand_back.lua")),
            rewrite: Lua::new(include_str!("lua/rewrite.lua")),
            copy: Lua::new(include_str!("lua/copy.lua")),
            swap: Lua::new(include_str!("lua/swap.lua")),
            exchange: Lua::new(include_str!("lua/exchange.lua")),
        }
    }
}
