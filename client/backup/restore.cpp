#include "client/backup/restore.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "client/backup/file_io.h"
#include "client/backup/root_calculator.h"
#include "config/files.h"
#include "kvstore/kv_tables.h"
#include "kvstore/lmdb_store.h"
#include "kvstore/state_builder.h"
#include "kvstore/state_machine.h"

namespace loyal::backup {
namespace {

namespace fs = std::filesystem;

Result<void> copy_durably(const fs::path& from, const fs::path& to) {
    FileHandle in(::open(from.c_str(), O_RDONLY | O_CLOEXEC));
    if (!in.valid()) {
        return fail_errno("cannot open", from, errno);
    }
    FileHandle out(::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!out.valid()) {
        return fail_errno("cannot create", to, errno);
    }
    Bytes buffer(std::size_t{1} << 20);
    while (true) {
        const auto got = read_some(in.get(), buffer, from);
        if (!got) {
            return tl::unexpected(got.error());
        }
        if (*got == 0) {
            break;
        }
        if (auto put = write_all(out.get(), ByteView(buffer).first(*got), to); !put) {
            return put;
        }
    }
    return ::fsync(out.get()) == 0 ? Result<void>() : fail_errno("cannot sync", to, errno);
}

// Hands whole buckets to a builder, empty ones too.
class BucketFeed {
 public:
    BucketFeed(kvstore::StateBuilder& builder, const kvstore::Salt& salt) : builder_(builder), salt_(salt) {}

    [[nodiscard]] Result<void> add(kvstore::StateRecord record) {
        const kvstore::Leaf leaf{kvstore::leaf_name(salt_, record.table, record.key),
                                 kvstore::leaf_digest(record.table, record.key, record.content)};
        if (auto done = put_below(kvstore::bucket_of(leaf.name)); !done) {
            return done;
        }
        leaves_.push_back(leaf);
        records_.push_back(std::move(record));
        return {};
    }
    [[nodiscard]] Result<void> finish() {
        return put_below(kvstore::buckets).and_then([this] { return builder_.finish(); });
    }

 private:
    [[nodiscard]] Result<void> put_below(kvstore::Bucket bucket) {
        for (; next_ < bucket; ++next_) {
            if (auto put = builder_.put(next_, leaves_, std::exchange(records_, {})); !put) {
                return put;
            }
            leaves_.clear();
        }
        return {};
    }

    kvstore::StateBuilder& builder_;
    kvstore::Salt salt_;
    kvstore::Bucket next_ = 0;  // whose records are gathered
    std::vector<kvstore::Leaf> leaves_;
    std::vector<kvstore::StateRecord> records_;
};

class Restoring {
 public:
    explicit Restoring(const RestoreOptions& options) : options_(options) {}

    [[nodiscard]] Result<RestoreReport> run();

 private:
    [[nodiscard]] Result<BackupFacts> verify();
    [[nodiscard]] Result<void> fill(const config::Cluster& cluster, std::uint16_t id);
    [[nodiscard]] Result<void> build(const config::Cluster& cluster, const fs::path& state);
    void show(double begin, double fraction) const {
        if (options_.on_progress) {
            options_.on_progress(begin + fraction / 2);
        }
    }

    const RestoreOptions& options_;
    crypto::Digest root_;
    fs::path built_;  // the first replica's state
};

// The new state's root is found on the way.
Result<BackupFacts> Restoring::verify() {
    std::optional<RootCalculator> root;
    auto facts = verify_backup(
        options_.file,
        [&root](const BackupFacts& so_far, const kvstore::StateRecord& record) -> Result<void> {
            if (!root) {
                root.emplace(kvstore::salt_of(so_far.cluster.salt_id()));
            }
            auto restored = restored_record(record);
            if (!restored) {
                return tl::unexpected(restored.error());
            }
            return *restored ? root->add(**restored) : Result<void>();
        },
        [this](double fraction) { show(0, fraction); });
    if (facts && root) {
        root_ = root->finish();
    }
    return facts;
}

Result<void> Restoring::build(const config::Cluster& cluster, const fs::path& state) {
    kvstore::LmdbOptions lmdb;
    lmdb.path = state;
    lmdb.tables = kvstore::StateMachine::state_tables();
    lmdb.lazy = true;
    auto store = kvstore::LmdbStore::open(lmdb);
    if (!store) {
        return tl::unexpected(store.error());
    }
    const kvstore::Salt salt = kvstore::salt_of(cluster.salt_id());
    auto builder = kvstore::StateBuilder::begin(**store, {salt, cluster.checkpoint_interval},
                                                {consensus::Height(0), cluster.genesis_state});
    if (!builder) {
        return tl::unexpected(builder.error());
    }
    BucketFeed feed(**builder, salt);
    auto read = verify_backup(
        options_.file,
        [&feed](const BackupFacts&, const kvstore::StateRecord& record) -> Result<void> {
            auto restored = restored_record(record);
            if (!restored) {
                return tl::unexpected(restored.error());
            }
            return *restored ? feed.add(std::move(**restored)) : Result<void>();
        },
        [this](double fraction) { show(0.5, fraction); });
    if (!read) {
        return tl::unexpected(read.error());
    }
    return feed.finish().and_then([&] { return (*store)->sync(); });
}

// The first replica's state is built, the others' are copies of it.
Result<void> Restoring::fill(const config::Cluster& cluster, std::uint16_t id) {
    const fs::path data = cluster.data_path(id);
    const fs::path state = data / "state.1";
    if (auto made = make_folder(state, 0700); !made) {
        return made;
    }
    if (built_.empty()) {
        if (auto built = build(cluster, state); !built) {
            return built;
        }
        built_ = state;
    } else if (auto copied = copy_durably(built_ / "data.mdb", state / "data.mdb"); !copied) {
        return copied;
    }
    return sync_folder(state).and_then([&] { return write_new_file(data / "state", view_of("1\n"), 0600); });
}

Result<RestoreReport> Restoring::run() {
    auto facts = verify();
    if (!facts) {
        return tl::unexpected(facts.error());
    }
    config::InitOptions init = options_.init;
    if (options_.settle) {
        options_.settle(*facts, init);
    }
    init.genesis_state = root_;
    init.genesis_cluster = facts->cluster.salt_id();
    init.fill_data = [this](const config::Cluster& cluster, std::uint16_t id) { return fill(cluster, id); };
    auto made = config::init_cluster(options_.directory, init);
    if (!made) {
        return tl::unexpected(made.error());
    }
    return RestoreReport{std::move(*facts), std::move(*made)};
}

}  // namespace

Result<std::optional<kvstore::StateRecord>> restored_record(const kvstore::StateRecord& record) {
    switch (record.table) {
        case kvstore::StateTable::keys:
        case kvstore::StateTable::history:
        case kvstore::StateTable::leases:
        case kvstore::StateTable::lease_items:
        case kvstore::StateTable::locks: return record;
        case kvstore::StateTable::sessions:
        case kvstore::StateTable::clients: return std::nullopt;
        case kvstore::StateTable::meta: break;
    }
    auto meta = kvstore::decode_meta(record.content);
    if (!meta) {
        return tl::unexpected(meta.error());
    }
    meta->height = consensus::Height(0);
    meta->block = {};
    meta->digests.assign(1, {consensus::Height(0), crypto::Digest{}});
    return kvstore::StateRecord{record.table, record.key, kvstore::encode_meta(*meta)};
}

Result<RestoreReport> restore_backup(const RestoreOptions& options) {
    return Restoring(options).run();
}

}  // namespace loyal::backup
