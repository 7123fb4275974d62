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

VotesFound judge_copies(const CopyRead& a, const CopyRead& b, LogSequence last) {
    VotesFound found;
    if (!a.present && !b.present) {
        if (last != 0) {
            found.doubt =
                "both copies of the voting state are gone, but the log holds records up to " + std::to_string(last);
        }
        return found;
    }
    if (!a.copy && !b.copy) {
        found.doubt = "no copy of the voting state is intact (" + (a.present ? a.why : "one is missing") + "; " +
                      (b.present ? b.why : "one is missing") + ")";
        return found;
    }
    found.copy = !b.copy || (a.copy && a.copy->sequence >= b.copy->sequence) ? a.copy : b.copy;
    if (a.copy && b.copy && *a.copy != *b.copy) {
        found.doubt = "the two copies of the voting state differ";
    } else if (found.copy->sequence != last) {
        found.doubt = "the voting state at hand was written with record " + std::to_string(found.copy->sequence) +
                      ", but the last record of the log is " + std::to_string(last);
    }
    return found;
}

}  // namespace loyal::kvstore
