#include "client/backup/spool.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <numeric>
#include <utility>

#include "client/backup/backup_file.h"
#include "client/backup/file_io.h"
#include "config/limits.h"
#include "crypto/canonical.h"

namespace loyal::backup {
namespace {

// Of one piece: what kvstore::decode_records takes.
constexpr std::size_t piece_bytes_max = limits::state_chunk_bytes_max;
static_assert(piece_bytes_max <= section_bytes_max);
constexpr std::size_t record_overhead_bytes = 16;

}  // namespace

Spool::Spool(std::filesystem::path path, FileHandle file, const kvstore::Salt& salt)
    : path_(std::move(path)), file_(std::move(file)), salt_(salt), places_(kvstore::buckets) {}

Spool::~Spool() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
}

Result<std::unique_ptr<Spool>> Spool::create(const std::filesystem::path& path, const kvstore::Salt& salt) {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
    FileHandle file(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.valid()) {
        return fail_errno("cannot create", path, errno);
    }
    return std::unique_ptr<Spool>(new Spool(path, std::move(file), salt));
}

std::optional<crypto::Digest> Spool::done(kvstore::Bucket bucket) const {
    const Place& place = places_[bucket];
    return place.known ? std::optional(place.digest) : std::nullopt;
}

Result<std::vector<kvstore::Leaf>> Spool::leaves(kvstore::Bucket /*bucket*/) const {
    return std::vector<kvstore::Leaf>();
}

Result<void> Spool::write(ByteView bytes) {
    auto written = write_all(file_.get(), bytes, path_);
    end_ += bytes.size();
    return written;
}

Result<void> Spool::put(kvstore::Bucket bucket, const std::vector<kvstore::Leaf>& leaves,
                        std::vector<kvstore::StateRecord> records) {
    std::vector<std::pair<kvstore::LeafName, const kvstore::StateRecord*>> sorted;
    sorted.reserve(records.size());
    for (const kvstore::StateRecord& record : records) {
        sorted.emplace_back(kvstore::leaf_name(salt_, record.table, record.key), &record);
    }
    std::sort(sorted.begin(), sorted.end());
    Place place{true, kvstore::bucket_digest(leaves), end_, 0};
    std::vector<kvstore::StateRecord> piece;
    std::size_t bytes = 0;
    const auto write_piece = [&]() -> Result<void> {
        const Bytes encoded = kvstore::encode_records(piece);
        crypto::CanonicalWriter out(encoded.size() + 4);
        out.sized(encoded);
        piece.clear();
        bytes = 0;
        return write(out.view());
    };
    for (const auto& [name, record] : sorted) {
        const std::size_t more = record->key.size() + record->content.size() + record_overhead_bytes;
        if (!piece.empty() && (bytes + more > piece_bytes_max || piece.size() == limits::state_names_max)) {
            if (auto written = write_piece(); !written) {
                return written;
            }
        }
        piece.push_back(*record);
        bytes += more;
    }
    if (!piece.empty()) {
        if (auto written = write_piece(); !written) {
            return written;
        }
    }
    place.bytes = end_ - place.offset;
    places_[bucket] = place;
    return {};
}

Result<void> Spool::replay(const Place& place, const std::function<Result<void>(ByteView)>& take) {
    if (place.bytes == 0) {
        return {};
    }
    if (::lseek(file_.get(), static_cast<off_t>(place.offset), SEEK_SET) < 0) {
        return fail_errno("cannot read", path_, errno);
    }
    for (std::uint64_t left = place.bytes; left > 0;) {
        std::array<std::uint8_t, 4> head{};
        const auto got_head = read_some(file_.get(), head, path_);
        const auto size = crypto::CanonicalReader(head).number<std::uint32_t>();
        if (!got_head || *got_head != head.size() || size > piece_bytes_max || size + head.size() > left) {
            return fail(Errc::corrupted, path_.string() + " does not read back as it was written");
        }
        Bytes piece(size);
        const auto got = read_some(file_.get(), piece, path_);
        if (!got || *got != piece.size()) {
            return fail(Errc::corrupted, path_.string() + " does not read back as it was written");
        }
        if (auto taken = take(piece); !taken) {
            return taken;
        }
        left -= size + head.size();
    }
    return {};
}

Result<void> Spool::replay(const std::function<Result<void>(ByteView)>& take) {
    for (const Place& place : places_) {
        if (auto done = replay(place, take); !done) {
            return done;
        }
    }
    return {};
}

}  // namespace loyal::backup
