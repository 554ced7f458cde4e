//! Rules that a simulated Redis leaves out, for a checker to notice.

/// A rule that is left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Flaw {
    /// All are kept.
    #[default]
    None,
    /// What it remembers it takes for the truth, whatever befell it.
    TrustsMemory,
    /// It knows itself by its process alone, not by the history that it follows.
    TrustsHistory,
    /// Messages of any era count.
    HearsAnyEra,
    /// A later declaration replaces the first.
    DeclaresAgain,
    /// Lending is resumed without the others.
    AsksNobody,
    /// Eras of one generation have one name.
    NamesNoEra,
    /// A number that was answered is answered anew.
    AnswersAnew,
    /// The last one alone is.
    AnswersLastAnew,
    /// What was answered under the last number is not kept.
    ForgetsReplies,
    /// Places are confirmed under any number.
    ConfirmsAnyNumber,
    /// What is given back counts each time it is said.
    AddsReturns,
    /// An era is live when it begins.
    LendsAtOnce,
    /// Places of ended orders stay.
    KeepsPlaces,
    /// A place is confirmed whatever others have.
    KnowsNoLimit,
    /// It lends what is lent already.
    LendsAll,
    /// What others asked for in vain it tells also where it is there by now.
    TellsOldWishes,
    /// Places that are declared do not count.
    DropsDeclared,
}
