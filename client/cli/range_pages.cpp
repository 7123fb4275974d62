#include "client/cli/range_pages.h"

#include <algorithm>

#include "config/limits.h"

namespace loyal::cli {

RangePages::RangePages(client::Client& client, kvstore::Range range, std::uint64_t limit,
                       std::optional<StaleSource> stale)
    : client_(client),
      range_(std::move(range)),
      left_(limit == 0 || range_.count_only ? UINT64_MAX : limit),
      stale_(stale) {}

client::ReadResult RangePages::ask() {
    return stale_ ? client_.read_stale_sync(range_, stale_->from) : client_.read_sync(range_);
}

// A fast answer's revision is one replica's word; in the order of writes it is part of what was agreed on.
Answer<void> RangePages::pin(client::ReadResult& page) {
    if (stale_) {
        stale_->from = page.replicas.front();
    } else {
        page = client_.read_in_order_sync(range_);
        if (Answer<void> answer = judge(page); !answer) {
            return answer;
        }
    }
    if (range_.at && *range_.at <= page.hlc) {
        pinned_ = true;  // later blocks have later times
    } else if (page.revision.value != 0) {
        range_.at.reset();
        range_.revision = page.revision;
    }
    return {};
}

// The part of the range that is behind `last`.
void RangePages::continue_behind(const Bytes& last) {
    if (range_.reverse) {
        range_.end = last;  // exclusive
        return;
    }
    range_.begin = last;
    range_.begin.push_back(0);
}

Answer<bool> RangePages::next(client::ReadResult& page) {
    if (done_) {
        return false;
    }
    range_.limit = static_cast<std::uint32_t>(std::min<std::uint64_t>(left_, limits::range_items_max));
    page = ask();
    if (const Answer<void> answer = judge(page); !answer) {
        Failure failure = answer.error();
        if (!first_ && page.status == kvstore::Status::compacted) {
            failure.message =
                "the revision that this range is read at was compacted meanwhile, so the answer is "
                "incomplete; read it again, or have more revisions kept (history_revisions)";
        }
        return tl::unexpected<Failure>(std::move(failure));
    }
    const auto goes_on = [&] {
        return page.range.more && range_.end && !page.range.items.empty() && page.range.items.size() < left_;
    };
    if (goes_on() && !is_pinned()) {
        if (const Answer<void> pinned = pin(page); !pinned) {
            return tl::unexpected<Failure>(pinned.error());
        }
    }
    first_ = false;
    more_ = page.range.more;
    done_ = !goes_on();
    if (!range_.count_only) {
        left_ -= std::min<std::uint64_t>(left_, page.range.items.size());
    }
    if (!done_) {
        continue_behind(page.range.items.back().key);
    }
    return true;
}

}  // namespace loyal::cli
