//! Reports as one HTML file each: no request to any network, readable on paper, on a phone, in the light and in the dark.

mod comparison;
mod cost;
mod evaluation;
mod page;
mod provenance;
mod tuning;

pub use comparison::of_comparison;
pub use cost::of_cost;
pub use evaluation::{TapPicture, of_evaluation, of_model_evaluation};
pub use page::Page;
pub use provenance::{file_hash, provenance};
pub use tuning::of_tuning;
