// A range, page by page, all of one revision: what fits one page is read at once; when there is more, the first page is
// asked for again in the order of writes, which tells the revision exactly, and all further ones are as of it. So a
// range of any length shows one moment and takes the memory of one page. For one thread.
#pragma once

#include <cstdint>
#include <optional>

#include "client/cli/failure.h"
#include "client/client.h"

namespace loyal::cli {

// One replica's word: `from`, or that of whoever can be reached first.
struct StaleSource {
    std::optional<consensus::ReplicaId> from;
};

class RangePages {
 public:
    // `client` outlives it. `limit`: items in all, 0 for all there are; a count is not limited.
    RangePages(client::Client& client, kvstore::Range range, std::uint64_t limit,
               std::optional<StaleSource> stale = std::nullopt);

    // The next page; false when the last one was given.
    [[nodiscard]] Answer<bool> next(client::ReadResult& page);
    // The limit ended before the range did.
    [[nodiscard]] bool more() const { return more_; }

 private:
    [[nodiscard]] client::ReadResult ask();
    [[nodiscard]] bool is_pinned() const { return range_.revision || pinned_; }
    [[nodiscard]] Answer<void> pin(client::ReadResult& page);
    void continue_behind(const Bytes& last);

    client::Client& client_;
    kvstore::Range range_;
    std::uint64_t left_;
    std::optional<StaleSource> stale_;
    bool pinned_ = false;  // its time is one at which nothing changes any more
    bool first_ = true;
    bool done_ = false;
    bool more_ = false;
};

}  // namespace loyal::cli
