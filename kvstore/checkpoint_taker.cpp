#include "kvstore/checkpoint_taker.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace loyal::kvstore {

namespace {

using consensus::Height;

// A checkpoint that is fetched stays readable for so many intervals and blocks more; what they change is kept that
// long. With long intervals it is none: a checkpoint lives long enough.
constexpr std::uint64_t held_intervals_max = 32, held_blocks_max = 2048;
constexpr std::size_t held_max = 3;

void set_leaf(BucketLeaves& bucket, const PreRecord& of, const std::optional<ByteView>& content) {
    const auto at = std::lower_bound(bucket.begin(), bucket.end(), of.name,
                                     [](const LeafRecord& a, const LeafName& name) { return a.leaf.name < name; });
    const bool is_there = at != bucket.end() && at->leaf.name == of.name;
    if (!content) {
        if (is_there) {
            bucket.erase(at);
        }
        return;
    }
    const LeafRecord record{{of.name, leaf_digest(of.table, of.key, *content)}, of.table, of.key};
    if (is_there) {
        *at = record;
    } else {
        bucket.insert(at, record);
    }
}

}  // namespace

Result<void> CheckpointTaker::load() {
    auto txn = store_.begin_read();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    const auto transfer = read_transfer(**txn);
    if (!transfer) {
        return tl::unexpected(transfer.error());
    }
    if (*transfer) {
        return fail(Errc::unavailable, "the state is being put together: it has no checkpoints");
    }
    auto progress = read_progress(**txn, options_.interval);
    if (!progress) {
        return tl::unexpected(progress.error());
    }
    if (progress->interval != options_.interval) {
        return fail(Errc::conflict, "the state was kept with a checkpoint every " + std::to_string(progress->interval) +
                                        " heights, and every " + std::to_string(options_.interval) + " are wanted");
    }
    progress_ = std::move(*progress);
    trees_.clear();
    std::vector<Height> heights;
    for (const StateRoot& root : progress_.kept) {
        heights.push_back(root.height);
    }
    if (progress_.taking != Height(0)) {
        heights.push_back(progress_.taking);
    }
    auto walked = walk_buckets(**txn, nodes_table, [&](Bucket bucket, ByteView sealed) -> Result<void> {
        return open_node(bucket, sealed).map([&](const BucketNode& node) {
            for (const Height height : heights) {
                trees_[height].set_bucket(bucket, node.at(height));
            }
        });
    });
    if (!walked) {
        return walked;
    }
    for (const Height height : heights) {
        trees_[height].update();
    }
    for (const StateRoot& root : progress_.kept) {
        if (trees_[root.height].root() != root.root) {
            return fail(Errc::corrupted, "the digests of the state at height " + std::to_string(root.height.value) +
                                             " do not give its root");
        }
    }
    return {};
}

const DigestTree* CheckpointTaker::tree(Height checkpoint) const {
    const bool kept = std::any_of(progress_.kept.begin(), progress_.kept.end(),
                                  [&](const StateRoot& root) { return root.height == checkpoint; });
    if (kept) {
        return &trees_.at(checkpoint);
    }
    const auto held = held_.find(checkpoint);
    return held == held_.end() ? nullptr : &held->second;
}

void CheckpointTaker::hold(Height checkpoint) {
    if (checkpoint != Height(0) && options_.interval <= held_blocks_max && served_.count(checkpoint) != 0) {
        held_[checkpoint] = trees_.at(checkpoint);
    }
}

// Once an interval: those that nobody asked for since the last time, and those that are too old or too many.
void CheckpointTaker::let_go_of_held() {
    const std::uint64_t blocks = std::min(held_blocks_max, held_intervals_max * options_.interval);
    for (auto held = held_.begin(); held != held_.end();) {
        const bool goes = served_.count(held->first) == 0 || held_.size() > held_max ||
                          held->first.plus(blocks) < progress_.newest().height;
        held = goes ? held_.erase(held) : std::next(held);
    }
    served_.clear();
}

void CheckpointTaker::release_below(Height height) {
    // The newest stays: what comes next starts from it.
    while (progress_.kept.size() > 1 && progress_.kept.front().height < height) {
        hold(progress_.kept.front().height);
        trees_.erase(progress_.kept.front().height);
        progress_.kept.erase(progress_.kept.begin());
        released_ = true;
    }
}

Result<bool> CheckpointTaker::work(std::size_t records_max) {
    if (options_.interval == 0) {
        return false;
    }
    const auto due = is_due();
    if (!due) {
        return due;
    }
    if (*due) {
        return take(std::max<std::size_t>(records_max, 1)).map([] { return true; });
    }
    return forget(std::max<std::size_t>(records_max, 1));
}

Result<bool> CheckpointTaker::is_due() const {
    if (progress_.taking != Height(0)) {
        return true;
    }
    auto txn = store_.begin_read();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    return read_meta(**txn).map(
        [this](const std::optional<StateMeta>& meta) { return meta && meta->height >= next_checkpoint(); });
}

Result<void> CheckpointTaker::take(std::size_t records_max) {
    if (progress_.taking == Height(0)) {
        // Two versions of each bucket are stored: from here on they are the newest checkpoint's and the next one's.
        // That next one is executed, so a committed header carries the newest one's root: it is the stable one.
        release_below(progress_.newest().height);
        let_go_of_held();
        progress_.taking = next_checkpoint();
        progress_.next = 0;
        trees_[progress_.taking] = trees_[progress_.newest().height];
    }
    const auto step = read_step(records_max);
    if (!step) {
        return tl::unexpected(step.error());
    }
    return write_step(*step);
}

Result<CheckpointTaker::Step> CheckpointTaker::read_step(std::size_t records_max) const {
    auto txn = store_.begin_read();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    const auto meta = read_meta(**txn);
    if (!meta) {
        return tl::unexpected(meta.error());
    }
    if (!*meta || (*meta)->height < progress_.taking) {
        return fail(Errc::corrupted, "the state is behind the checkpoint that is being taken of it");
    }
    const CheckpointReader reader(**txn, progress_.taking, (*meta)->height, options_.interval);
    PreCursor changed(**txn, progress_.newest().height);
    if (auto started = changed.start(progress_.next); !started) {
        return tl::unexpected(started.error());
    }
    Step step;
    for (std::size_t records = 0; changed.record();) {
        if (records >= records_max) {
            step.next = bucket_of(changed.record()->name);
            return step;
        }
        auto bucket = read_bucket(**txn, reader, changed, records);
        if (!bucket) {
            return tl::unexpected(bucket.error());
        }
        step.records = records;
        step.buckets.push_back(std::move(*bucket));
    }
    step.next = buckets;
    return step;
}

Result<CheckpointTaker::ChangedBucket> CheckpointTaker::read_bucket(const ReadTxn& txn, const CheckpointReader& reader,
                                                                    PreCursor& changed, std::size_t& records) const {
    ChangedBucket result;
    result.bucket = bucket_of(changed.record()->name);
    auto leaves = read_leaves(txn, result.bucket);
    const auto node = read_node(txn, result.bucket);
    if (!leaves || !node) {
        return tl::unexpected(!leaves ? leaves.error() : node.error());
    }
    if (digest_of_bucket(*leaves) != node->newest.digest) {
        return fail(Errc::corrupted, "the leaves of bucket " + std::to_string(result.bucket) +
                                         " are not those that were stored for a checkpoint");
    }
    for (; changed.record() && bucket_of(changed.record()->name) == result.bucket; ++records) {
        const PreRecord& record = *changed.record();
        const auto content = reader.content(record.name, record.table, record.key);
        if (!content) {
            return tl::unexpected(content.error());
        }
        set_leaf(*leaves, record, *content);
        if (auto moved = changed.advance(); !moved) {
            return tl::unexpected(moved.error());
        }
    }
    result.digest = digest_of_bucket(*leaves);
    result.leaves = seal_leaves(result.bucket, *leaves);
    return result;
}

// A record of `pre` that is hidden would leave the root with what its key holds now.
Result<void> CheckpointTaker::count_changed(WriteTxn& txn, const Step& step, bool taken) const {
    const Height since = progress_.newest().height;
    auto count = read_changed_count(txn, since);
    if (!count) {
        return tl::unexpected(count.error());
    }
    count->met += step.records;
    if (taken && count->met != count->stored) {
        return fail(Errc::corrupted, "of " + std::to_string(count->stored) + " records that changed since height " +
                                         std::to_string(since.value) + " " + std::to_string(count->met) +
                                         " are found in the table pre");
    }
    if (count->stored == 0) {
        return {};
    }
    return taken ? erase_changed_count(txn, since) : write_changed_count(txn, since, *count);
}

Result<void> CheckpointTaker::write_step(const Step& step) {
    auto begun = store_.begin_write();
    if (!begun) {
        return tl::unexpected(begun.error());
    }
    WriteTxn& txn = **begun;
    DigestTree& tree = trees_[progress_.taking];
    for (const auto& [bucket, digest, leaves] : step.buckets) {
        auto node = read_node(txn, bucket);
        if (!node) {
            return tl::unexpected(node.error());
        }
        if (node->newest.since != progress_.taking) {
            node->previous = node->newest;
        }
        node->newest = {progress_.taking, digest};
        tree.set_bucket(bucket, node->newest.digest);
        auto written = write_leaves(txn, bucket, leaves);
        if (written) {
            written = write_node(txn, bucket, *node);
        }
        if (!written) {
            return written;
        }
    }
    CheckpointProgress after = progress_;
    after.next = step.next;
    const bool taken = step.next == buckets;
    if (auto counted = count_changed(txn, step, taken); !counted) {
        return counted;
    }
    if (taken) {
        tree.update();
        after.kept.push_back({progress_.taking, tree.root()});
        after.taking = Height(0);
        after.next = 0;
    }
    if (auto done = write_progress(txn, after); !done) {
        return done;
    }
    // A root that was told to others stays known here.
    if (auto done = txn.commit(taken ? Durability::synced : Durability::lazy); !done) {
        return done;
    }
    progress_ = std::move(after);
    released_ = false;
    return {};
}

Result<bool> CheckpointTaker::forget(std::size_t records_max) {
    const Height oldest = oldest_readable();
    const auto to_forget = [&](const ReadTxn& txn) -> Result<std::optional<Bytes>> {
        const auto first = txn.seek(pre_table, {});
        if (!first) {
            return tl::unexpected(first.error());
        }
        if (!*first) {
            return std::optional<Bytes>();
        }
        const auto parsed = parse_pre_key((*first)->key);
        if (!parsed) {
            return tl::unexpected(parsed.error());
        }
        return parsed->first < oldest ? std::optional(Bytes((*first)->key.begin(), (*first)->key.end()))
                                      : std::optional<Bytes>();
    };
    if (!released_) {
        auto txn = store_.begin_read();
        if (!txn) {
            return tl::unexpected(txn.error());
        }
        const auto first = to_forget(**txn);
        if (!first || !*first) {
            return first.map([](const std::optional<Bytes>&) { return false; });
        }
    }
    auto begun = store_.begin_write();
    if (!begun) {
        return tl::unexpected(begun.error());
    }
    WriteTxn& txn = **begun;
    for (std::size_t i = 0; i < records_max; ++i) {
        const auto key = to_forget(txn);
        if (!key) {
            return tl::unexpected(key.error());
        }
        if (!*key) {
            break;
        }
        if (auto erased = txn.erase(pre_table, **key); !erased) {
            return tl::unexpected(erased.error());
        }
    }
    return write_progress(txn, progress_).and_then([&] { return txn.commit(Durability::lazy); }).map([&] {
        released_ = false;
        return true;
    });
}

}  // namespace loyal::kvstore
