#include "kvstore/linked_table.h"

#include <algorithm>
#include <string>

#include "config/assert.h"
#include "config/limits.h"
#include "crypto/digest.h"
#include "crypto/seal.h"
#include "kvstore/kv_tables.h"

namespace loyal::kvstore {

namespace {

constexpr std::size_t end_key_bytes = limits::table_key_bytes_max;

constexpr std::array<std::uint8_t, end_key_bytes> make_end_key() {
    std::array<std::uint8_t, end_key_bytes> key{};
    for (std::uint8_t& byte : key) {
        byte = 0xFF;
    }
    return key;
}
constexpr std::array<std::uint8_t, end_key_bytes> end_key_value = make_end_key();

bool key_less(ByteView a, ByteView b) {
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
}
bool is_end(ByteView key) {
    return key.size() == end_key_bytes;
}

Link link_of(ByteView key) {
    const crypto::Digest digest = crypto::digest_of("link", key);
    Link link{};
    std::copy_n(digest.bytes.begin(), link.size(), link.begin());
    return link;
}

}  // namespace

ByteView end_key() {
    return end_key_value;
}

Link link_to(const std::optional<RawEntry>& before) {
    return before ? link_of(before->key) : Link{};
}

tl::unexpected<Error> LinkedTable::damaged(ByteView key, const char* what) const {
    constexpr std::size_t shown_bytes_max = 32;
    const std::string shown = key.empty()   ? std::string("the beginning")
                              : is_end(key) ? std::string("the end")
                                            : "key " + to_hex(key.first(std::min(key.size(), shown_bytes_max)));
    return fail(Errc::corrupted, "table " + std::string(name_) + " at " + shown + ": " + what);
}

Result<LinkedEntry> LinkedTable::open(const RawEntry& raw) const {
    const auto unsealed = crypto::unseal(name_, raw.key, raw.value);
    if (!unsealed) {
        return tl::unexpected(unsealed.error());
    }
    if (unsealed->size() < link_bytes) {
        return damaged(raw.key, "a record is shorter than its link");
    }
    LinkedEntry entry;
    entry.key = raw.key;
    std::copy_n(unsealed->begin(), link_bytes, entry.link.begin());
    entry.content = unsealed->subspan(link_bytes);
    return entry;
}

Result<void> LinkedTable::expect_untouched(const ReadTxn& txn, ByteView key) const {
    for (const TableIndex table : {index_, meta_table}) {
        const auto first = txn.seek(table, {});
        if (!first) {
            return tl::unexpected(first.error());
        }
        if (*first) {
            return damaged(key, "the end of the table is not found");
        }
    }
    return {};
}

Result<std::optional<LinkedEntry>> LinkedTable::get(const ReadTxn& txn, ByteView key) const {
    const auto value = txn.get(index_, key);
    if (!value) {
        return tl::unexpected(value.error());
    }
    if (!*value) {
        return std::optional<LinkedEntry>();
    }
    return open({key, **value}).map([](const LinkedEntry& entry) { return std::optional(entry); });
}

Result<std::optional<LinkedEntry>> LinkedTable::above(const ReadTxn& txn, ByteView key) const {
    const auto next = txn.seek(index_, key);
    if (!next) {
        return tl::unexpected(next.error());
    }
    if (!*next) {
        return expect_untouched(txn, key).map([] { return std::optional<LinkedEntry>(); });
    }
    const auto before = txn.seek_before(index_, key);
    if (!before) {
        return tl::unexpected(before.error());
    }
    if (!key_less(key, (*next)->key) || (*before && !key_less((*before)->key, key))) {
        return damaged(key, "keys are out of order");
    }
    auto entry = open(**next);
    if (!entry) {
        return tl::unexpected(entry.error());
    }
    if (entry->link != link_to(*before)) {
        return damaged(key, "its neighbours do not belong together: records between them are hidden");
    }
    return std::optional(*entry);
}

Result<void> LinkedTable::prove_absent(const ReadTxn& txn, ByteView key) const {
    return above(txn, key).map([](const std::optional<LinkedEntry>&) {});
}

Result<std::optional<ByteView>> LinkedTable::find(const ReadTxn& txn, ByteView key) const {
    if (key.empty()) {
        return std::optional<ByteView>();  // no record has an empty key
    }
    const auto entry = get(txn, key);
    if (!entry) {
        return tl::unexpected(entry.error());
    }
    if (*entry) {
        return std::optional((*entry)->content);
    }
    return prove_absent(txn, key).map([] { return std::optional<ByteView>(); });
}

// ---- Writing

Bytes LinkedTable::sealed(ByteView key, const Link& link, ByteView content) const {
    Bytes record;
    record.reserve(link.size() + content.size() + crypto::seal_bytes);
    record.insert(record.end(), link.begin(), link.end());
    record.insert(record.end(), content.begin(), content.end());
    crypto::seal_in_place(name_, key, record);
    return record;
}

Result<void> LinkedTable::write(WriteTxn& txn, ByteView key, const Link& link, ByteView content) const {
    return txn.put(index_, key, sealed(key, link, content));
}

Result<void> LinkedTable::create(WriteTxn& txn) const {
    const auto first = txn.seek(index_, {});
    if (!first) {
        return tl::unexpected(first.error());
    }
    return *first ? Result<void>() : write(txn, end_key(), Link{}, {});
}

Result<void> LinkedTable::put(WriteTxn& txn, ByteView key, ByteView content) const {
    const auto entry = get(txn, key);
    if (!entry) {
        return tl::unexpected(entry.error());
    }
    return *entry ? overwrite(txn, key, Link((*entry)->link), content) : insert(txn, key, content);
}

Result<void> LinkedTable::erase(WriteTxn& txn, ByteView key) const {
    const auto entry = get(txn, key);
    if (!entry) {
        return tl::unexpected(entry.error());
    }
    return *entry ? remove(txn, key, Link((*entry)->link)) : prove_absent(txn, key);
}

Result<void> LinkedTable::overwrite(WriteTxn& txn, ByteView key, const Link& link, ByteView content) const {
    return write(txn, key, link, content);
}

Result<void> LinkedTable::insert(WriteTxn& txn, ByteView key, ByteView content) const {
    LOYAL_ASSERT(!key.empty() && key.size() < end_key_bytes, "a key that has its place below the end");
    const auto next = above(txn, key);
    if (!next) {
        return tl::unexpected(next.error());
    }
    if (!*next) {
        return damaged(key, "the table has no end");
    }
    const Link link = (*next)->link;
    const Bytes next_key((*next)->key.begin(), (*next)->key.end());
    const Bytes next_content((*next)->content.begin(), (*next)->content.end());
    return write(txn, key, link, content).and_then([&] { return write(txn, next_key, link_of(key), next_content); });
}

Result<void> LinkedTable::remove(WriteTxn& txn, ByteView key, const Link& link) const {
    const auto raw = txn.seek(index_, key, true);
    if (!raw) {
        return tl::unexpected(raw.error());
    }
    if (!*raw || !key_less(key, (*raw)->key)) {
        return damaged(key, "the record after it is not found");
    }
    const auto next = open(**raw);
    if (!next) {
        return tl::unexpected(next.error());
    }
    if (next->link != link_of(key)) {
        return damaged(key, "records after it are hidden");
    }
    const Bytes next_key(next->key.begin(), next->key.end());
    const Bytes next_content(next->content.begin(), next->content.end());
    return write(txn, next_key, link, next_content).and_then([&] { return txn.erase(index_, key); });
}

// ---- LinkedAppender

Result<void> LinkedAppender::start(const ReadTxn& txn) {
    const auto last = txn.seek_before(table_.index(), {});
    if (!last) {
        return tl::unexpected(last.error());
    }
    last_.clear();
    ended_ = false;
    if (*last) {
        last_.assign((*last)->key.begin(), (*last)->key.end());
        ended_ = is_end(last_);
    }
    return {};
}

Bytes LinkedAppender::next(ByteView key, ByteView content) {
    LOYAL_ASSERT(!ended_ && key_less(last_, key) && !is_end(key), "records are appended in the order of their keys");
    const Link link = last_.empty() ? Link{} : link_of(last_);
    last_.assign(key.begin(), key.end());
    return table_.sealed(key, link, content);
}

Bytes LinkedAppender::end() {
    const Link link = last_.empty() ? Link{} : link_of(last_);
    ended_ = true;
    return table_.sealed(end_key(), link, {});
}

// ---- LinkedCursor

Result<void> LinkedCursor::start(ByteView from) {
    entry_.reset();
    return reverse_ ? start_reverse(from) : start_forward(from);
}

Result<void> LinkedCursor::advance() {
    LOYAL_ASSERT(entry_.has_value(), "a walk goes on from a record");
    if (reverse_) {
        return step_back(entry_->key, Link(entry_->link));
    }
    const ByteView last = entry_->key;
    const auto next = txn_.seek(table_.index(), last, true);
    if (!next) {
        return tl::unexpected(next.error());
    }
    if (!*next || !key_less(last, (*next)->key)) {
        return table_.damaged(last, "the record after it is not found");
    }
    return arrive(**next, link_of(last));
}

Result<void> LinkedCursor::arrive(const RawEntry& next, const Link& expected) {
    const auto entry = table_.open(next);
    if (!entry) {
        return tl::unexpected(entry.error());
    }
    if (entry->link != expected) {
        return table_.damaged(next.key, "records before it are hidden");
    }
    entry_.reset();
    if (!is_end(next.key)) {
        entry_ = *entry;
    }
    return {};
}

Result<void> LinkedCursor::start_forward(ByteView from) {
    const auto next = txn_.seek(table_.index(), from);
    if (!next) {
        return tl::unexpected(next.error());
    }
    if (!*next) {
        return table_.expect_untouched(txn_, from);
    }
    std::optional<RawEntry> before;
    if (!from.empty()) {
        const auto found = txn_.seek_before(table_.index(), from);
        if (!found) {
            return tl::unexpected(found.error());
        }
        before = *found;
    }
    if (key_less((*next)->key, from) || (before && !key_less(before->key, from))) {
        return table_.damaged(from, "keys are out of order");
    }
    return arrive(**next, link_to(before));
}

Result<void> LinkedCursor::start_reverse(ByteView from) {
    const ByteView bound = from.empty() ? end_key() : from;
    const auto next = txn_.seek(table_.index(), bound);
    if (!next) {
        return tl::unexpected(next.error());
    }
    if (!*next) {
        return table_.expect_untouched(txn_, from);
    }
    if (key_less((*next)->key, bound)) {
        return table_.damaged(from, "keys are out of order");
    }
    const auto entry = table_.open(**next);
    if (!entry) {
        return tl::unexpected(entry.error());
    }
    return step_back(bound, entry->link);
}

// To the record that the one at or above `below` links to.
Result<void> LinkedCursor::step_back(ByteView below, const Link& link) {
    const auto before = txn_.seek_before(table_.index(), below);
    if (!before) {
        return tl::unexpected(before.error());
    }
    if ((*before && !key_less((*before)->key, below)) || link_to(*before) != link) {
        return table_.damaged(below, "records before it are hidden");
    }
    entry_.reset();
    if (!*before) {
        return {};
    }
    return table_.open(**before).map([&](const LinkedEntry& entry) { entry_ = entry; });
}

}  // namespace loyal::kvstore
