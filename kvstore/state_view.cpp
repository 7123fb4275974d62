#include "kvstore/state_view.h"

#include <algorithm>
#include <array>

#include "config/limits.h"

namespace loyal::kvstore {

namespace {

bool less(ByteView a, ByteView b) {
    return BytesLess{}(a, b);
}
bool equal(ByteView a, ByteView b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

// Bytes that an item takes in an encoded RangeResult.
std::size_t item_bytes(ByteView key, ByteView value) {
    return 2 + key.size() + 4 + value.size() + 4 * 8;
}

Item item_of(ByteView key, const KeyView& view, bool with_value) {
    Item item;
    item.key.assign(key.begin(), key.end());
    if (with_value) {
        item.value.assign(view.value.begin(), view.value.end());
    }
    item.revision = view.revision;
    item.created = view.created;
    item.version = view.version;
    item.timestamp = view.timestamp;
    return item;
}

// One of the three sources of a merged walk, standing at an entry or at its end.
class Source {
 public:
    virtual ~Source() = default;
    // Empty at the end; keys are never empty.
    [[nodiscard]] virtual ByteView key() const = 0;
    // Nothing when the key is marked as deleted.
    [[nodiscard]] virtual Result<std::optional<KeyView>> value() const = 0;
    [[nodiscard]] virtual Result<void> advance() = 0;
};

class GenerationSource final : public Source {
 public:
    GenerationSource(const Generation* generation, ByteView begin, ByteView end, bool reverse) : reverse_(reverse) {
        if (generation == nullptr) {
            return;
        }
        const auto& keys = generation->keys;
        first_ = keys.lower_bound(begin);
        last_ = end.empty() ? keys.end() : keys.lower_bound(end);
        at_end_ = false;
        if (reverse_) {
            std::swap(first_, last_);  // walks from last_ down to first_
        }
        settle();
    }
    ByteView key() const override { return at_end_ ? ByteView{} : ByteView(current().first); }
    Result<std::optional<KeyView>> value() const override {
        const auto& record = current().second;
        return record ? std::optional(record->view()) : std::optional<KeyView>();
    }
    Result<void> advance() override {
        reverse_ ? --first_ : ++first_;
        settle();
        return {};
    }

 private:
    using Iterator = decltype(Generation::keys)::const_iterator;
    // `first_` is at the current entry, or in reverse just after it.
    [[nodiscard]] const Iterator::value_type& current() const { return reverse_ ? *std::prev(first_) : *first_; }
    void settle() { at_end_ = first_ == last_; }

    bool reverse_;
    bool at_end_ = true;
    Iterator first_;
    Iterator last_;
};

class StoreSource final : public Source {
 public:
    StoreSource(const ReadTxn& transaction, ByteView bound, bool reverse)
        : cursor_(linked_table(StateTable::keys), transaction, reverse), bound_(bound), reverse_(reverse) {}

    [[nodiscard]] Result<void> start(ByteView from) {
        return cursor_.start(from).map([this] { settle(); });
    }
    ByteView key() const override { return at_end_ ? ByteView{} : cursor_.entry()->key; }
    Result<std::optional<KeyView>> value() const override {
        return decode_key_record(cursor_.entry()->content).map([](const KeyView& view) { return std::optional(view); });
    }
    Result<void> advance() override {
        return cursor_.advance().map([this] { settle(); });
    }

 private:
    // What stands behind the bound was checked like any other record: nothing is hidden in front of it.
    void settle() {
        at_end_ = !cursor_.entry() || (reverse_ ? less(cursor_.entry()->key, bound_)
                                                : !bound_.empty() && !less(cursor_.entry()->key, bound_));
    }

    LinkedCursor cursor_;
    ByteView bound_;  // exclusive end, or in reverse the inclusive begin
    bool reverse_;
    bool at_end_ = true;
};

// The next key over all sources; at equal keys the first source wins. Null at the end.
Source* next_of(const std::array<Source*, 3>& sources, bool reverse) {
    Source* best = nullptr;
    for (Source* source : sources) {
        if (source->key().empty()) {
            continue;
        }
        const bool before =
            best == nullptr || (reverse ? less(best->key(), source->key()) : less(source->key(), best->key()));
        if (before) {
            best = source;
        }
    }
    return best;
}

}  // namespace

Result<const ReadTxn*> StateView::transaction() {
    if (!transaction_) {
        auto begun = store_.begin_read();
        if (!begun) {
            return tl::unexpected(begun.error());
        }
        transaction_ = std::move(*begun);
    }
    return transaction_.get();
}

Result<std::optional<KeyView>> StateView::find(ByteView key) {
    for (const Generation* generation : {&overlay_.active(), overlay_.frozen()}) {
        if (generation == nullptr) {
            continue;
        }
        if (const auto found = generation->keys.find(key); found != generation->keys.end()) {
            return found->second ? std::optional(found->second->view()) : std::optional<KeyView>();
        }
    }
    const auto txn = transaction();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    const auto content = linked_table(StateTable::keys).find(**txn, key);
    if (!content) {
        return tl::unexpected(content.error());
    }
    if (!*content) {
        return std::optional<KeyView>();
    }
    return decode_key_record(**content).map([](const KeyView& view) { return std::optional(view); });
}

Result<std::shared_ptr<const Session>> StateView::session(const SessionKey& key) {
    using Pointer = std::shared_ptr<const Session>;
    for (const Generation* generation : {&overlay_.active(), overlay_.frozen()}) {
        if (generation == nullptr) {
            continue;
        }
        if (const auto found = generation->sessions.find(key); found != generation->sessions.end()) {
            // Not owned: the generation outlives the view.
            return found->second ? Pointer(Pointer(), &*found->second) : Pointer();
        }
    }
    const auto txn = transaction();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    const auto content = linked_table(StateTable::sessions).find(**txn, encode_session_key(key));
    if (!content) {
        return tl::unexpected(content.error());
    }
    if (!*content) {
        return Pointer();
    }
    return decode_session(**content).map(
        [](Session&& session) -> Pointer { return std::make_shared<const Session>(std::move(session)); });
}

Result<void> StateView::walk(ByteView begin, ByteView end, bool reverse, const Visitor& visit) {
    if (!end.empty() && !less(begin, end)) {
        return {};
    }
    const auto txn = transaction();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    GenerationSource active(&overlay_.active(), begin, end, reverse);
    GenerationSource frozen(overlay_.frozen(), begin, end, reverse);
    StoreSource stored(**txn, reverse ? begin : end, reverse);
    if (auto started = stored.start(reverse ? end : begin); !started) {
        return started;
    }
    const std::array<Source*, 3> sources{&active, &frozen, &stored};
    while (Source* best = next_of(sources, reverse)) {
        ++scanned_;
        const ByteView key = best->key();
        const auto value = best->value();
        if (!value) {
            return tl::unexpected(value.error());
        }
        if (*value && !visit(key, **value)) {
            return {};
        }
        for (Source* source : sources) {
            if (source != best && equal(source->key(), key)) {
                if (auto advanced = source->advance(); !advanced) {
                    return advanced;
                }
            }
        }
        if (auto advanced = best->advance(); !advanced) {
            return advanced;
        }
    }
    return {};
}

Result<RangeResult> StateView::range(const Range& range) {
    if (!range.end) {
        return single(range);
    }
    return range.count_only ? count(range) : page(range);
}

Result<RangeResult> StateView::single(const Range& range) {
    ++scanned_;
    const auto found = find(range.begin);
    if (!found) {
        return tl::unexpected(found.error());
    }
    RangeResult result;
    result.count = *found ? 1 : 0;
    if (*found && !range.count_only) {
        result.items.push_back(item_of(range.begin, **found, !range.keys_only));
    }
    return result;
}

Result<RangeResult> StateView::count(const Range& range) {
    RangeResult result;
    Item last;
    auto walked = walk(range.begin, *range.end, range.reverse, [&](ByteView key, const KeyView& view) {
        if (result.count == range_count_max) {
            result.more = true;
            return false;
        }
        if (++result.count == range_count_max) {
            last = item_of(key, view, false);
        }
        return true;
    });
    if (!walked) {
        return tl::unexpected(walked.error());
    }
    if (result.more) {
        result.items.push_back(std::move(last));
    }
    return result;
}

Result<RangeResult> StateView::page(const Range& range) {
    const std::size_t items_max =
        range.limit == 0 ? limits::range_items_max : std::min<std::size_t>(range.limit, limits::range_items_max);
    RangeResult result;
    std::size_t bytes = 0;
    auto walked = walk(range.begin, *range.end, range.reverse, [&](ByteView key, const KeyView& view) {
        const ByteView value = range.keys_only ? ByteView{} : view.value;
        bytes += item_bytes(key, value);
        // One more key exists, but the page is full. The first item always fits.
        if (result.items.size() == items_max || (bytes > limits::range_bytes_max && !result.items.empty())) {
            result.more = true;
            return false;
        }
        result.items.push_back(item_of(key, view, !range.keys_only));
        return true;
    });
    if (!walked) {
        return tl::unexpected(walked.error());
    }
    result.count = result.items.size();
    return result;
}

}  // namespace loyal::kvstore
