#include "kvstore/generation_writer.h"

#include "kvstore/checkpoint_tables.h"
#include "kvstore/kv_tables.h"

namespace loyal::kvstore {

namespace {

class GenerationWriter {
 public:
    GenerationWriter(WriteTxn& txn, consensus::Height from, const CheckpointOptions& options)
        : txn_(txn), options_(options) {
        if (options.interval != 0) {
            base_ = checkpoint_below(from, options.interval);
        }
    }

    Result<void> put(StateTable table, ByteView key, ByteView content) { return change(table, key, content); }
    Result<void> erase(StateTable table, ByteView key) { return change(table, key, std::nullopt); }
    // After all of them.
    Result<void> finish() {
        if (kept_ == 0) {
            return {};
        }
        auto count = read_changed_count(txn_, *base_);
        if (!count) {
            return tl::unexpected(count.error());
        }
        count->stored += kept_;
        return write_changed_count(txn_, *base_, *count);
    }

 private:
    Result<void> change(StateTable id, ByteView key, std::optional<ByteView> content) {
        const LinkedTable& table = linked_table(id);
        const auto before = table.get(txn_, key);
        if (!before) {
            return tl::unexpected(before.error());
        }
        if (!*before && !content) {
            return table.prove_absent(txn_, key);
        }
        const std::optional<Link> link = *before ? std::optional<Link>((*before)->link) : std::nullopt;
        if (auto kept = keep(id, key, *before); !kept) {
            return kept;
        }
        if (!link) {
            return table.insert(txn_, key, *content);
        }
        return content ? table.overwrite(txn_, key, *link, *content) : table.remove(txn_, key, *link);
    }

    // The first change after a checkpoint.
    Result<void> keep(StateTable table, ByteView key, const std::optional<LinkedEntry>& before) {
        if (!base_) {
            return {};
        }
        PreRecord record;
        record.name = leaf_name(options_.salt, table, key);
        const Bytes at = pre_key(*base_, record.name);
        const auto known = txn_.get(pre_table, at);
        if (!known) {
            return tl::unexpected(known.error());
        }
        if (*known) {
            return {};
        }
        record.table = table;
        record.key = key;
        if (before) {
            record.content = before->content;
        }
        ++kept_;
        return txn_.put(pre_table, at, seal_pre(at, record));
    }

    WriteTxn& txn_;
    const CheckpointOptions& options_;
    std::optional<consensus::Height> base_;
    std::uint64_t kept_ = 0;
};

}  // namespace

Result<void> write_generation(WriteTxn& txn, const Generation& generation, consensus::Height from,
                              const CheckpointOptions& options) {
    // The first batch of all also makes the tables' ends.
    const auto meta = read_meta(txn);
    if (!meta) {
        return tl::unexpected(meta.error());
    }
    if (!*meta) {
        if (auto created = create_tables(txn); !created) {
            return created;
        }
    }
    GenerationWriter writer(txn, from, options);
    for (const RootedTable& rooted : rooted_tables) {
        for (const auto& [key, content] : generation.table(rooted.id)) {
            auto done = content ? writer.put(rooted.id, key, *content) : writer.erase(rooted.id, key);
            if (!done) {
                return done;
            }
        }
    }
    for (const auto& [key, session] : generation.sessions) {
        const Bytes name = encode_session_key(key);
        auto done = session ? writer.put(StateTable::sessions, name, encode_session(*session))
                            : writer.erase(StateTable::sessions, name);
        if (!done) {
            return done;
        }
    }
    return writer.put(StateTable::meta, view_of(meta_key), encode_meta(generation.meta)).and_then([&] {
        return writer.finish();
    });
}

}  // namespace loyal::kvstore
