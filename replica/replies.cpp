#include "replica/replies.h"

#include "config/limits.h"

namespace loyal::replica {

bool sends_in_full(const ReplyContext& context, const consensus::ClientId& client, const kvstore::Outcome& outcome) {
    if (outcome.result.size() <= limits::result_inline_bytes_max) {
        return true;
    }
    std::uint64_t start = 0;
    for (std::size_t i = 0; i < 8; ++i) {
        start |= static_cast<std::uint64_t>(client.bytes[i]) << (8 * i);
    }
    const std::size_t n = context.quorum.n;
    const std::size_t first = (start % n + outcome.seq.value % n) % n;
    const std::size_t distance = (context.self.value + n - first) % n;
    return distance <= context.quorum.f;
}

std::vector<wire::Reply> make_replies(const ReplyContext& context, const kvstore::Replies& replies, bool everything) {
    // Half a frame, so that one more largest range result still fits.
    constexpr std::size_t split_bytes = limits::frame_bytes_max - limits::range_bytes_max - limits::value_bytes_max;
    static_assert(split_bytes >= limits::envelope_ops_max * 256, "a full envelope of short outcomes is one frame");
    std::vector<wire::Reply> result;
    std::size_t bytes = 0;
    for (const kvstore::Outcome& outcome : replies.outcomes) {
        if (result.empty() || bytes > split_bytes) {
            result.push_back({context.self, replies.session, context.view, context.hlc, {}});
            bytes = 0;
        }
        wire::OutcomeReply one;
        one.seq = outcome.seq;
        one.digest = kvstore::outcome_digest(outcome);
        if (everything || sends_in_full(context, replies.client, outcome)) {
            one.outcome = outcome;
            bytes += outcome.result.size();
        }
        result.back().outcomes.push_back(std::move(one));
        bytes += 256;
    }
    return result;
}

}  // namespace loyal::replica
