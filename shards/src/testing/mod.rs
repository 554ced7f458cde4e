//! A world for the engine to run in from one seed: a clock that is set, a disk that crashes, and
//! the randomness that decides how.

mod clock;
mod disk;
mod random;
pub mod world;

pub use clock::SimulatedClock;
pub use disk::SimulatedDisk;
pub use random::Random;
pub use world::World;
