#include "kvstore/key_reader.h"

#include <algorithm>
#include <limits>

#include "config/limits.h"

namespace loyal::kvstore {

namespace {

constexpr std::uint32_t last_part = std::numeric_limits<std::uint32_t>::max();

tl::unexpected<Error> missing_change(const ChangeId& id) {
    return fail(Errc::corrupted, "the history lacks the change of revision " + std::to_string(id.revision.value));
}

// Bytes that an item takes in an encoded RangeResult.
std::size_t item_bytes(ByteView key, ByteView value) {
    return 2 + key.size() + 4 + value.size() + 5 * 8;
}

Item item_of(ByteView key, const KeyView& view, bool with_value) {
    Item item;
    item.key.assign(key.begin(), key.end());
    if (with_value) {
        item.value.assign(view.value.begin(), view.value.end());
    }
    item.revision = view.id.revision;
    item.created = view.created;
    item.version = view.version;
    item.timestamp = view.timestamp;
    item.lease = view.lease;
    return item;
}

bool in_query(const ChangeQuery& query, ByteView key) {
    const BytesLess less;
    if (!query.end) {
        return std::equal(key.begin(), key.end(), query.begin.begin(), query.begin.end());
    }
    return !less(key, query.begin) && (query.end->empty() || less(key, *query.end));
}

}  // namespace

// An answer that is being filled.
struct KeyReader::Page {
    const Range& range;
    std::size_t items_max = 0;
    std::size_t bytes_max = 0;
    bool first_fits = false;
    std::size_t bytes = 0;
    RangeResult result;

    // False: it is full.
    bool add(ByteView key, const KeyView& view) {
        bytes += item_bytes(key, range.keys_only ? ByteView{} : view.value);
        const bool fits = bytes <= bytes_max || (result.items.empty() && first_fits);
        if (result.items.size() == items_max || !fits) {
            result.more = true;
            return false;
        }
        result.items.push_back(item_of(key, view, !range.keys_only));
        return true;
    }
};

Result<std::optional<KeyView>> KeyReader::record(ByteView key) {
    const auto content = view_.find(StateTable::keys, key);
    if (!content) {
        return tl::unexpected(content.error());
    }
    if (!*content) {
        return std::optional<KeyView>();
    }
    return decode_key_record(**content).map([](const KeyView& view) { return std::optional(view); });
}

Result<std::optional<KeyView>> KeyReader::find(ByteView key) {
    auto found = record(key);
    if (found && *found && (*found)->deleted()) {
        found->reset();
    }
    return found;
}

Result<void> KeyReader::walk(ByteView begin, ByteView end, bool reverse, const Visitor& visit) {
    return view_.walk(StateTable::keys, begin, end, reverse, [&](ByteView key, ByteView content) -> Result<bool> {
        const auto view = decode_key_record(content);
        if (!view) {
            return tl::unexpected(view.error());
        }
        return view->deleted() || visit(key, *view);
    });
}

// ---- The past

Result<std::optional<KeyReader::HistoryRecord>> KeyReader::history_record(const ChangeId& id) {
    std::optional<HistoryRecord> found;
    const ChangeId behind = id.part == last_part ? ChangeId{id.revision.next(), 0} : ChangeId{id.revision, id.part + 1};
    auto walked = view_.walk(StateTable::history, {}, history_key(behind), true,
                             [&](ByteView key, ByteView content) -> Result<bool> {
                                 const auto at = parse_history_key(key);
                                 if (!at) {
                                     return tl::unexpected(at.error());
                                 }
                                 if (at->apart) {
                                     return true;
                                 }
                                 found = HistoryRecord{at->first, Bytes(content.begin(), content.end())};
                                 return false;
                             });
    if (!walked) {
        return tl::unexpected(walked.error());
    }
    return found;
}

Result<void> KeyReader::fill_previous(ChangeView& change) {
    if (!change.previous_apart) {
        return {};
    }
    const auto value = view_.find(StateTable::history, previous_value_key(change.now.id));
    if (!value) {
        return tl::unexpected(value.error());
    }
    if (!*value) {
        return missing_change(change.now.id);
    }
    change.previous->value = **value;
    change.previous_apart = false;
    return {};
}

Result<ChangeView> KeyReader::change(const ChangeId& id) {
    const bool known =
        cached_ && !cached_changes_.empty() && cached_->first <= id && id <= cached_changes_.back().now.id;
    if (!known) {
        auto record = history_record(id);
        if (!record) {
            return tl::unexpected(record.error());
        }
        if (!*record) {
            return missing_change(id);
        }
        cached_ = std::move(**record);
        auto changes = decode_history(cached_->content);
        if (!changes) {
            return tl::unexpected(changes.error());
        }
        cached_changes_ = std::move(*changes);
        view_.count_scanned(cached_changes_.size());
    }
    const auto found = std::lower_bound(cached_changes_.begin(), cached_changes_.end(), id,
                                        [](const ChangeView& each, const ChangeId& at) { return each.now.id < at; });
    if (found == cached_changes_.end() || found->now.id != id) {
        return missing_change(id);
    }
    ChangeView change = *found;
    return fill_previous(change).map([&] { return change; });
}

Result<std::optional<KeyView>> KeyReader::previous_of(const KeyView& view) {
    auto change = this->change(view.id);
    if (!change) {
        return tl::unexpected(change.error());
    }
    if (change->previous_dropped) {
        return missing_change(view.id);  // only what is before `compacted` is dropped
    }
    return change->previous;
}

Result<std::optional<KeyView>> KeyReader::version_at(const KeyView& newest, Revision at) {
    std::optional<KeyView> view = newest;
    while (view && view->id.revision > at) {
        auto before = previous_of(*view);
        if (!before) {
            return before;
        }
        view = *before;
    }
    if (view && view->deleted()) {
        view.reset();
    }
    return view;
}

Result<Revision> KeyReader::revision_at(consensus::Hlc time) {
    // The newest revision whose block is not later than `time`: records ascend in revisions and in time alike.
    std::uint64_t low = meta_.compacted.value;  // not later than `time`, as the caller has made sure
    std::uint64_t high = meta_.revision.value;
    while (low < high) {
        const std::uint64_t middle = low + (high - low + 1) / 2;
        const auto record = history_record({Revision(middle), last_part});
        if (!record) {
            return tl::unexpected(record.error());
        }
        if (!*record) {
            return missing_change({Revision(middle), 0});
        }
        const auto timestamp = decode_history_time((*record)->content);
        if (!timestamp) {
            return tl::unexpected(timestamp.error());
        }
        if (*timestamp <= time) {
            low = middle;
        } else {
            high = (*record)->first.revision.value - 1;
            // A block's changes may fill several records, and a transaction's may be spread over two.
            high = std::max(high, low);
        }
    }
    return Revision(low);
}

Status KeyReader::check(const Range& range) const {
    if (range.at) {
        return *range.at < meta_.compacted_at ? Status::compacted : Status::ok;
    }
    if (!range.revision) {
        return Status::ok;
    }
    return *range.revision > meta_.revision    ? Status::future_revision
           : *range.revision < meta_.compacted ? Status::compacted
                                               : Status::ok;
}

Result<std::optional<Revision>> KeyReader::revision_of(const Range& range) {
    if (!range.at) {
        return range.revision;
    }
    return revision_at(*range.at).map([](Revision revision) { return std::optional(revision); });
}

Result<consensus::Hlc> KeyReader::time_of(Revision revision) {
    if (revision <= meta_.compacted) {
        return meta_.compacted_at;
    }
    const auto record = history_record({revision, last_part});
    if (!record) {
        return tl::unexpected(record.error());
    }
    if (!*record) {
        return missing_change({revision, 0});
    }
    return decode_history_time((*record)->content);
}

// ---- Pages

Result<KeyReader::Answer> KeyReader::range(const Range& range, std::size_t bytes_max, bool first_fits) {
    Answer answer;
    answer.status = check(range);
    if (answer.status != Status::ok) {
        return answer;
    }
    const auto at = revision_of(range);
    if (!at) {
        return tl::unexpected(at.error());
    }
    const std::size_t items_max =
        range.limit == 0 ? limits::range_items_max : std::min<std::size_t>(range.limit, limits::range_items_max);
    Page page{range, items_max, bytes_max, first_fits, 0, {}};
    Result<void> done;
    if (range.history) {
        done = history(range, page);
    } else if (!range.end) {
        done = single(range, *at, page);
    } else if (range.count_only) {
        Item last;
        done = walk_at(range, *at, [&](ByteView key, const KeyView& view) {
            if (page.result.count == range_count_max) {
                page.result.more = true;
                return false;
            }
            if (++page.result.count == range_count_max) {
                last = item_of(key, view, false);
            }
            return true;
        });
        if (page.result.more) {
            page.result.items.push_back(std::move(last));
        }
    } else {
        done = walk_at(range, *at, [&](ByteView key, const KeyView& view) { return page.add(key, view); });
    }
    if (!done) {
        return tl::unexpected(done.error());
    }
    if (!range.count_only) {
        page.result.count = page.result.items.size();
    }
    answer.range = std::move(page.result);
    return answer;
}

Result<void> KeyReader::walk_at(const Range& range, std::optional<Revision> at, const Visitor& visit) {
    if (!at || *at >= meta_.revision) {
        return walk(range.begin, *range.end, range.reverse, visit);
    }
    return view_.walk(StateTable::keys, range.begin, *range.end, range.reverse,
                      [&](ByteView key, ByteView content) -> Result<bool> {
                          const auto newest = decode_key_record(content);
                          if (!newest) {
                              return tl::unexpected(newest.error());
                          }
                          const auto view = version_at(*newest, *at);
                          if (!view) {
                              return tl::unexpected(view.error());
                          }
                          return !*view || visit(key, **view);
                      });
}

Result<void> KeyReader::single(const Range& range, std::optional<Revision> at, Page& page) {
    view_.count_scanned(1);
    const auto newest = record(range.begin);
    if (!newest) {
        return tl::unexpected(newest.error());
    }
    if (!*newest) {
        return {};
    }
    const auto view = version_at(**newest, at.value_or(meta_.revision));
    if (!view) {
        return tl::unexpected(view.error());
    }
    if (*view && range.count_only) {
        page.result.count = 1;
    } else if (*view) {
        (void)page.add(range.begin, **view);
    }
    return {};
}

Result<void> KeyReader::history(const Range& range, Page& page) {
    const auto newest = record(range.begin);
    if (!newest) {
        return tl::unexpected(newest.error());
    }
    std::optional<KeyView> view = *newest;
    while (view) {
        view_.count_scanned(1);
        if (view->deleted() && view->id.revision <= meta_.compacted) {
            return {};
        }
        const bool wanted = !range.revision || view->id.revision <= *range.revision;
        if (wanted && !page.add(range.begin, *view)) {
            return {};
        }
        // What led to the oldest version that is known is forgotten.
        if (view->id.revision <= meta_.compacted) {
            return {};
        }
        auto change = this->change(view->id);
        if (!change) {
            return tl::unexpected(change.error());
        }
        view = change->previous;
    }
    return {};
}

// ---- Changes

Result<ChangePage> KeyReader::changes(const ChangeQuery& query) {
    ChangePage page;
    page.upto = query.after;
    if (query.after.revision < meta_.compacted) {
        page.compacted = meta_.compacted;
        return page;
    }
    if (query.after.revision >= meta_.revision && query.after.part == last_part) {
        return page;
    }
    const auto record = history_record(query.after);
    if (!record) {
        return tl::unexpected(record.error());
    }
    const Bytes from = history_key(*record ? (*record)->first : query.after);
    std::size_t bytes = 0;
    std::size_t records = 0;
    auto walked = view_.walk(StateTable::history, from, {}, false, [&](ByteView key, ByteView content) -> Result<bool> {
        const auto at = parse_history_key(key);
        if (!at) {
            return tl::unexpected(at.error());
        }
        if (at->apart) {
            return true;
        }
        if (records++ == query.records_max) {
            page.more = true;
            return false;
        }
        auto changes = decode_history(content);
        if (!changes) {
            return tl::unexpected(changes.error());
        }
        for (ChangeView& change : *changes) {
            if (change.now.id <= query.after) {
                continue;
            }
            if (!in_query(query, change.key)) {
                page.upto = change.now.id;
                continue;
            }
            if (auto filled = fill_previous(change); !filled) {
                return tl::unexpected(filled.error());
            }
            const std::size_t size =
                change.key.size() + change.now.value.size() + (change.previous ? change.previous->value.size() : 0);
            const bool full = page.changes.size() == query.changes_max || bytes + size > query.bytes_max;
            if (full && !page.changes.empty()) {
                page.more = true;
                return false;
            }
            bytes += size;
            page.upto = change.now.id;
            page.changes.push_back(to_change(change));
        }
        return true;
    });
    if (!walked) {
        return tl::unexpected(walked.error());
    }
    if (!page.more) {
        page.upto = std::max(page.upto, ChangeId{meta_.revision, last_part});
    }
    return page;
}

}  // namespace loyal::kvstore
