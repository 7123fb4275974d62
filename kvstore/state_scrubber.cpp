#include "kvstore/state_scrubber.h"

#include <algorithm>
#include <array>

#include "crypto/seal.h"

namespace loyal::kvstore {

namespace {

constexpr std::array plain_tables{pre_table, leaves_table, nodes_table, progress_table};
// Runs are of a checkpoint that is being made and read within minutes; everything else stays.
constexpr std::size_t stages = rooted_tables.size() + plain_tables.size();

// The smallest key above `key`; the first of all when it is empty.
Bytes key_after(const Bytes& key) {
    Bytes after = key;
    if (!after.empty()) {
        after.push_back(0);
    }
    return after;
}

std::string_view name_of_plain(TableIndex table) {
    return table == pre_table      ? pre_table_name
           : table == leaves_table ? leaves_table_name
           : table == nodes_table  ? nodes_table_name
                                   : progress_table_name;
}

}  // namespace

Result<Checkpoints::ScrubStep> StateScrubber::step(std::size_t records_max) {
    Checkpoints::ScrubStep step;
    auto txn = store_.begin_read();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    const auto meta = read_meta(**txn);
    if (!meta && meta.error().code != Errc::corrupted) {
        return tl::unexpected(meta.error());
    }
    complete_ = meta && *meta ? (*meta)->height : consensus::Height(0);
    while (step.records < records_max && !step.wrapped) {
        const auto more = check_next(**txn);
        if (!more && more.error().code != Errc::corrupted) {
            return tl::unexpected(more.error());
        }
        if (!more) {
            step.damage = more.error().message;
            ++step.records;
            if (auto skipped = skip(**txn); !skipped) {
                return tl::unexpected(skipped.error());
            }
            return step;
        }
        if (*more) {
            ++step.records;
            continue;
        }
        at_.clear();
        stage_ = (stage_ + 1) % stages;
        step.wrapped = stage_ == 0;
    }
    return step;
}

TableIndex StateScrubber::table() const {
    return stage_ < rooted_tables.size() ? rooted_tables[stage_].table.index()
                                         : plain_tables[stage_ - rooted_tables.size()];
}

Result<bool> StateScrubber::check_next(const ReadTxn& txn) {
    return stage_ < rooted_tables.size() ? check_linked(txn, rooted_tables[stage_]) : check_plain(txn, table());
}

Result<bool> StateScrubber::check_linked(const ReadTxn& txn, const RootedTable& rooted) {
    LinkedCursor cursor(rooted.table, txn);
    if (auto started = cursor.start(key_after(at_)); !started) {
        return tl::unexpected(started.error());
    }
    if (!cursor.entry()) {
        return false;
    }
    if (auto checked = check_leaf(txn, rooted, *cursor.entry()); !checked) {
        return tl::unexpected(checked.error());
    }
    at_.assign(cursor.entry()->key.begin(), cursor.entry()->key.end());
    return true;
}

Result<void> StateScrubber::check_leaf(const ReadTxn& txn, const RootedTable& rooted, const LinkedEntry& entry) const {
    if (taker_.interval() == 0) {
        return {};
    }
    const LeafName name = leaf_name(salt_, rooted.id, entry.key);
    const CheckpointReader reader(txn, taker_.kept().back().height, complete_, taker_.interval());
    const auto changed = reader.changed_since(name);
    if (!changed || *changed) {
        return changed.map([](bool) {});
    }
    const auto leaves = read_leaves(txn, bucket_of(name));
    if (!leaves) {
        return tl::unexpected(leaves.error());
    }
    const Leaf expected{name, leaf_digest(rooted.id, entry.key, entry.content)};
    const bool agrees =
        std::any_of(leaves->begin(), leaves->end(), [&](const LeafRecord& record) { return record.leaf == expected; });
    return agrees ? Result<void>()
                  : rooted.table.damaged(entry.key, "a record that is not the one whose digest was kept");
}

Result<bool> StateScrubber::check_plain(const ReadTxn& txn, TableIndex table) {
    const auto entry = txn.seek(table, at_, !at_.empty());
    if (!entry) {
        return tl::unexpected(entry.error());
    }
    if (!*entry) {
        return false;
    }
    if (auto content = crypto::unseal(name_of_plain(table), (*entry)->key, (*entry)->value); !content) {
        return tl::unexpected(content.error());
    }
    if (table == leaves_table) {
        const auto bucket = parse_bucket_key((*entry)->key);
        if (!bucket) {
            return tl::unexpected(bucket.error());
        }
        if (const auto leaves = open_checked_leaves(txn, *bucket, (*entry)->value); !leaves) {
            return tl::unexpected(leaves.error());
        }
    }
    at_.assign((*entry)->key.begin(), (*entry)->key.end());
    return true;
}

Result<void> StateScrubber::skip(const ReadTxn& txn) {
    const auto next = txn.seek(table(), at_, !at_.empty());
    const bool goes_on =
        next && *next && std::lexicographical_compare(at_.begin(), at_.end(), (*next)->key.begin(), (*next)->key.end());
    if (goes_on && (*next)->key.size() < end_key().size()) {
        at_.assign((*next)->key.begin(), (*next)->key.end());
        return {};
    }
    at_.clear();
    stage_ = (stage_ + 1) % stages;
    return {};
}

}  // namespace loyal::kvstore
