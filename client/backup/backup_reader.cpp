#include <fcntl.h>
#include <sys/stat.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>

#include "client/backup/backup_file.h"
#include "client/backup/file_io.h"
#include "config/files.h"
#include "crypto/canonical.h"
#include "crypto/digest.h"

namespace loyal::backup {

namespace {

// Of what a file may ask for in memory: 8 MiB; the writer's level takes 2 MiB.
constexpr int window_log_max = 23;

}  // namespace

struct BackupReader::State {
    std::filesystem::path path;
    FileHandle file;
    std::uint64_t size = 0;
    std::uint64_t left = 0;  // compressed bytes that were not read yet
    crypto::Hasher hasher{digest_tag};
    ZSTD_DCtx* context = nullptr;
    Bytes in;
    std::size_t in_begin = 0, in_end = 0;
    bool frame_ended = false;
    bool ended = false;

    State() = default;
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() { ZSTD_freeDCtx(context); }

    [[nodiscard]] tl::unexpected<Error> damaged(const std::string& why) const {
        return fail(Errc::corrupted, path.string() + " is damaged, cut short or no backup: " + why);
    }
    [[nodiscard]] Result<void> refill();
    // Exactly as many bytes as `out` holds.
    [[nodiscard]] Result<void> read(std::span<std::uint8_t> out);
    [[nodiscard]] Result<void> check_end();
};

Result<void> BackupReader::State::refill() {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(left, in.size()));
    const auto got = read_some(file.get(), std::span(in).first(wanted), path);
    if (!got) {
        return tl::unexpected(got.error());
    }
    if (*got == 0) {
        return damaged("its compressed part ends too early");
    }
    left -= *got;
    in_begin = 0;
    in_end = *got;
    hasher.update(ByteView(in).first(*got));
    return {};
}

Result<void> BackupReader::State::read(std::span<std::uint8_t> out) {
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    while (to.pos < to.size) {
        if (frame_ended) {
            return damaged("a section is incomplete");
        }
        if (in_begin == in_end) {
            if (auto more = refill(); !more) {
                return more;
            }
        }
        ZSTD_inBuffer from{in.data() + in_begin, in_end - in_begin, 0};
        const std::size_t hint = ZSTD_decompressStream(context, &to, &from);
        if (ZSTD_isError(hint) != 0U) {
            return damaged(std::string("zstd: ") + ZSTD_getErrorName(hint));
        }
        in_begin += from.pos;
        frame_ended = hint == 0;
    }
    return {};
}

// Nothing behind the last section: the frame ends, the checksum follows, and it is the right one.
Result<void> BackupReader::State::check_end() {
    while (!frame_ended) {
        if (in_begin == in_end) {
            if (auto more = refill(); !more) {
                return more;
            }
        }
        std::uint8_t extra = 0;
        ZSTD_outBuffer to{&extra, 1, 0};
        ZSTD_inBuffer from{in.data() + in_begin, in_end - in_begin, 0};
        const std::size_t hint = ZSTD_decompressStream(context, &to, &from);
        if (ZSTD_isError(hint) != 0U) {
            return damaged(std::string("zstd: ") + ZSTD_getErrorName(hint));
        }
        if (to.pos > 0) {
            return damaged("something follows its end");
        }
        in_begin += from.pos;
        frame_ended = hint == 0;
    }
    if (in_begin != in_end || left != 0) {
        return damaged("something follows its end");
    }
    crypto::Digest stored;
    const auto got = read_some(file.get(), stored.bytes, path);
    if (!got) {
        return tl::unexpected(got.error());
    }
    if (*got != stored.bytes.size() || hasher.finish() != stored) {
        return damaged("its checksum does not match");
    }
    return {};
}

BackupReader::BackupReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
BackupReader::~BackupReader() = default;

Result<std::unique_ptr<BackupReader>> BackupReader::open(const std::filesystem::path& path) {
    auto state = std::make_unique<State>();
    state->path = path;
    // Not to wait for a writer, should it be a pipe.
    state->file = FileHandle(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat facts {};
    if (!state->file.valid() || ::fstat(state->file.get(), &facts) != 0) {
        return fail_errno("cannot open", path, errno);
    }
    if (!S_ISREG(facts.st_mode)) {
        return fail(Errc::invalid_argument, path.string() + " is no regular file");
    }
    state->size = static_cast<std::uint64_t>(facts.st_size);
    const std::size_t around = file_magic.size() + sizeof(crypto::Digest::bytes);
    if (state->size <= around) {
        return state->damaged("it is only " + std::to_string(state->size) + " bytes long");
    }
    state->left = state->size - around;
    std::array<std::uint8_t, file_magic.size()> magic{};
    const auto got = read_some(state->file.get(), magic, path);
    if (!got) {
        return tl::unexpected(got.error());
    }
    if (*got != magic.size() || text_of(magic) != file_magic) {
        return state->damaged("it does not begin as a backup does");
    }
    state->hasher.update(magic);
    state->context = ZSTD_createDCtx();
    if (state->context == nullptr ||
        ZSTD_isError(ZSTD_DCtx_setParameter(state->context, ZSTD_d_windowLogMax, window_log_max)) != 0U) {
        return fail(Errc::internal, "zstd cannot be set up");
    }
    state->in.resize(ZSTD_DStreamInSize());
    return std::unique_ptr<BackupReader>(new BackupReader(std::move(state)));
}

Result<Section> BackupReader::next() {
    if (state_->ended) {
        return state_->damaged("read beyond its end");
    }
    std::array<std::uint8_t, 5> head{};
    if (auto got = state_->read(head); !got) {
        return tl::unexpected(got.error());
    }
    crypto::CanonicalReader in(head);
    const auto kind = in.number<std::uint8_t>();
    const auto size = in.number<std::uint32_t>();
    if (kind < static_cast<std::uint8_t>(SectionKind::cluster) || kind > static_cast<std::uint8_t>(SectionKind::end) ||
        size > section_bytes_max) {
        return state_->damaged("an unknown section");
    }
    Section section{static_cast<SectionKind>(kind), Bytes(size)};
    if (auto got = state_->read(section.payload); !got) {
        return tl::unexpected(got.error());
    }
    if (section.kind == SectionKind::end) {
        if (auto whole = state_->check_end(); !whole) {
            return tl::unexpected(whole.error());
        }
        state_->ended = true;
    }
    return section;
}

std::uint64_t BackupReader::bytes() const {
    return state_->size;
}

double BackupReader::fraction() const {
    return 1.0 - static_cast<double>(state_->left) / static_cast<double>(state_->size);
}

}  // namespace loyal::backup
