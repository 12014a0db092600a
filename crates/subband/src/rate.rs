//! Rate control: steps that meet a target, and indices that are worth their bits.

mod control;
mod rdo;

pub(crate) use control::search_step;
pub(crate) use rdo::Trade;
