// Spool: the StateBuilder of a backup. Buckets arrive in any order and, when the cluster has moved on to a newer
// checkpoint meanwhile, some of them twice; they are appended to a temporary file, and where each one's last form
// stands is remembered (48 bytes a bucket). replay() gives the whole state in the order of the backup file.
//
// Threads: one. Errors: disk_full, io, corrupted (what is read back is not what was written).
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "config/files.h"
#include "kvstore/state_builder.h"
#include "kvstore/state_digest.h"

namespace loyal::backup {

class Spool final : public kvstore::StateBuilder {
 public:
    // Makes the file, in the place of one that an interrupted backup left.
    [[nodiscard]] static Result<std::unique_ptr<Spool>> create(const std::filesystem::path& path,
                                                               const kvstore::Salt& salt);
    ~Spool() override;  // removes the file

    [[nodiscard]] std::optional<crypto::Digest> done(kvstore::Bucket bucket) const override;
    // None: a bucket that changed is fetched anew, whole.
    [[nodiscard]] Result<std::vector<kvstore::Leaf>> leaves(kvstore::Bucket bucket) const override;
    [[nodiscard]] Result<void> put(kvstore::Bucket bucket, const std::vector<kvstore::Leaf>& leaves,
                                   std::vector<kvstore::StateRecord> records) override;
    [[nodiscard]] Result<void> retarget(const kvstore::StateRoot& /*target*/) override { return {}; }
    // Whoever replays it computes the root.
    [[nodiscard]] Result<void> settle() override { return {}; }
    [[nodiscard]] Result<void> finish() override { return {}; }

    // All records in ascending order of their names, as encode_records, each piece at most section_bytes_max long.
    [[nodiscard]] Result<void> replay(const std::function<Result<void>(ByteView records)>& take);

 private:
    struct Place {
        bool known = false;
        crypto::Digest digest;
        std::uint64_t offset = 0;
        std::uint64_t bytes = 0;  // pieces, each u32 length and the piece
    };
    Spool(std::filesystem::path path, FileHandle file, const kvstore::Salt& salt);
    [[nodiscard]] Result<void> write(ByteView bytes);
    [[nodiscard]] Result<void> replay(const Place& place, const std::function<Result<void>(ByteView records)>& take);

    std::filesystem::path path_;
    FileHandle file_;
    kvstore::Salt salt_;
    std::uint64_t end_ = 0;
    std::vector<Place> places_;
};

}  // namespace loyal::backup
