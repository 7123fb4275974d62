#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <cerrno>
#include <string>
#include <string_view>

#include "client/backup/backup_file.h"
#include "client/backup/file_io.h"
#include "config/assert.h"
#include "config/files.h"
#include "crypto/canonical.h"
#include "crypto/digest.h"

namespace loyal::backup {

struct BackupWriter::State {
    std::filesystem::path path;
    FileHandle file;
    crypto::Hasher hasher{digest_tag};
    ZSTD_CCtx* context = nullptr;
    Bytes out;
    std::uint64_t written = 0;

    State() = default;
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() { ZSTD_freeCCtx(context); }

    [[nodiscard]] Result<void> put(ByteView bytes, bool hashed) {
        if (hashed) {
            hasher.update(bytes);
        }
        written += bytes.size();
        return write_all(file.get(), bytes, path);
    }
    [[nodiscard]] Result<void> compress(ByteView bytes, ZSTD_EndDirective directive);
};

Result<void> BackupWriter::State::compress(ByteView bytes, ZSTD_EndDirective directive) {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    for (bool more = true; more;) {
        ZSTD_outBuffer to{out.data(), out.size(), 0};
        const std::size_t left = ZSTD_compressStream2(context, &to, &in, directive);
        if (ZSTD_isError(left) != 0U) {
            return fail(Errc::internal, std::string("zstd: ") + ZSTD_getErrorName(left));
        }
        if (auto done = put(ByteView(out).first(to.pos), true); !done) {
            return done;
        }
        more = directive == ZSTD_e_end ? left != 0 : in.pos < in.size;
    }
    return {};
}

BackupWriter::BackupWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
BackupWriter::~BackupWriter() = default;

Result<std::unique_ptr<BackupWriter>> BackupWriter::create(const std::filesystem::path& path) {
    auto state = std::make_unique<State>();
    state->path = path;
    state->file = FileHandle(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!state->file.valid()) {
        return fail_errno("cannot create", path, errno);
    }
    state->context = ZSTD_createCCtx();
    if (state->context == nullptr ||
        ZSTD_isError(ZSTD_CCtx_setParameter(state->context, ZSTD_c_checksumFlag, 1)) != 0U) {
        return fail(Errc::internal, "zstd cannot be set up");
    }
    state->out.resize(ZSTD_CStreamOutSize());
    if (auto done = state->put(view_of(file_magic), true); !done) {
        return tl::unexpected(done.error());
    }
    return std::unique_ptr<BackupWriter>(new BackupWriter(std::move(state)));
}

Result<void> BackupWriter::add(SectionKind kind, ByteView payload) {
    LOYAL_ASSERT(payload.size() <= section_bytes_max, "a section that no reader would take");
    crypto::CanonicalWriter head;
    head.number(static_cast<std::uint8_t>(kind)).number(static_cast<std::uint32_t>(payload.size()));
    return state_->compress(head.view(), ZSTD_e_continue).and_then([&] {
        return state_->compress(payload, ZSTD_e_continue);
    });
}

Result<void> BackupWriter::finish() {
    if (auto ended = state_->compress({}, ZSTD_e_end); !ended) {
        return ended;
    }
    const crypto::Digest digest = state_->hasher.finish();
    if (auto done = state_->put(digest.view(), false); !done) {
        return done;
    }
    if (::fsync(state_->file.get()) != 0) {
        return fail_errno("cannot sync", state_->path, errno);
    }
    state_->file.close();
    return {};
}

std::uint64_t BackupWriter::bytes() const {
    return state_->written;
}

}  // namespace loyal::backup
