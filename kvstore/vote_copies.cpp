#include "kvstore/vote_copies.h"

namespace loyal::kvstore {

Result<CopyRead> read_vote_copy(const ReadTxn& txn, TableIndex table, std::string_view name) {
    const auto sealed = txn.get(table, view_of(vote_key));
    if (!sealed) {
        // A page that LMDB itself refuses is a damaged copy, too.
        if (sealed.error().code == Errc::corrupted) {
            return CopyRead{true, {}, sealed.error().message};
        }
        return tl::unexpected(sealed.error());
    }
    if (!*sealed) {
        return CopyRead{};
    }
    auto copy = open_vote_copy(name, **sealed);
    return copy ? CopyRead{true, std::move(*copy), {}} : CopyRead{true, {}, copy.error().message};
}

tl::unexpected<Error> lost_votes(const std::string& why) {
    return fail(Errc::corrupted, "the voting state cannot be trusted: " + why +
                                     ". This replica may have voted for something that it no longer knows; it must not "
                                     "vote again from this data folder");
}

Result<std::optional<VoteCopy>> newest_copy(const CopyRead& a, const CopyRead& b, LogSequence last) {
    if (!a.present && !b.present) {
        if (last != 0) {
            return lost_votes("both copies are gone, but the log holds records up to " + std::to_string(last));
        }
        return std::optional<VoteCopy>();
    }
    if (!a.copy && !b.copy) {
        return lost_votes("no copy is intact (" + a.why + "; " + b.why + ")");
    }
    if (a.copy && b.copy && *a.copy != *b.copy) {
        return lost_votes("its two copies differ");
    }
    const VoteCopy& survivor = a.copy ? *a.copy : *b.copy;
    if (survivor.sequence != last) {
        return lost_votes("the copy at hand was written with record " + std::to_string(survivor.sequence) +
                          ", but the last record of the log is " + std::to_string(last));
    }
    return std::optional(survivor);
}

}  // namespace loyal::kvstore
