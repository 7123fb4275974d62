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

// One of the three sources of a merged walk, standing at an entry or at its end.
class Source {
 public:
    virtual ~Source() = default;
    // Empty at the end; keys are never empty.
    [[nodiscard]] virtual ByteView key() const = 0;
    // Nothing when it is marked as deleted.
    [[nodiscard]] virtual std::optional<ByteView> content() const = 0;
    [[nodiscard]] virtual Result<void> advance() = 0;
};

class GenerationSource final : public Source {
 public:
    GenerationSource(const Generation* generation, StateTable table, ByteView begin, ByteView end, bool reverse)
        : reverse_(reverse) {
        if (generation == nullptr) {
            return;
        }
        const Contents& contents = generation->table(table);
        first_ = contents.lower_bound(begin);
        last_ = end.empty() ? contents.end() : contents.lower_bound(end);
        at_end_ = false;
        if (reverse_) {
            std::swap(first_, last_);  // walks from last_ down to first_
        }
        settle();
    }
    ByteView key() const override { return at_end_ ? ByteView{} : ByteView(current().first); }
    std::optional<ByteView> content() const override {
        const auto& content = current().second;
        return content ? std::optional<ByteView>(*content) : std::nullopt;
    }
    Result<void> advance() override {
        reverse_ ? --first_ : ++first_;
        settle();
        return {};
    }

 private:
    using Iterator = Contents::const_iterator;
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
    StoreSource(const ReadTxn& transaction, StateTable table, ByteView bound, bool reverse)
        : cursor_(linked_table(table), transaction, reverse), bound_(bound), reverse_(reverse) {}

    [[nodiscard]] Result<void> start(ByteView from) {
        return cursor_.start(from).map([this] { settle(); });
    }
    ByteView key() const override { return at_end_ ? ByteView{} : cursor_.entry()->key; }
    std::optional<ByteView> content() const override { return cursor_.entry()->content; }
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

Result<std::optional<ByteView>> StateView::find(StateTable table, ByteView key) {
    for (const Generation* generation : {&overlay_.active(), overlay_.frozen()}) {
        if (generation == nullptr) {
            continue;
        }
        const Contents& contents = generation->table(table);
        if (const auto found = contents.find(key); found != contents.end()) {
            return found->second ? std::optional<ByteView>(*found->second) : std::optional<ByteView>();
        }
    }
    const auto txn = transaction();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    return linked_table(table).find(**txn, key);
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

Result<void> StateView::walk(StateTable table, ByteView begin, ByteView end, bool reverse, const Visitor& visit) {
    if (!end.empty() && !less(begin, end)) {
        return {};
    }
    const auto txn = transaction();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    GenerationSource active(&overlay_.active(), table, begin, end, reverse);
    GenerationSource frozen(overlay_.frozen(), table, begin, end, reverse);
    StoreSource stored(**txn, table, reverse ? begin : end, reverse);
    if (auto started = stored.start(reverse ? end : begin); !started) {
        return started;
    }
    const std::array<Source*, 3> sources{&active, &frozen, &stored};
    while (Source* best = next_of(sources, reverse)) {
        ++scanned_;
        const ByteView key = best->key();
        if (const auto content = best->content()) {
            const auto goes_on = visit(key, *content);
            if (!goes_on || !*goes_on) {
                return goes_on ? Result<void>() : Result<void>(tl::unexpected(goes_on.error()));
            }
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

}  // namespace loyal::kvstore
