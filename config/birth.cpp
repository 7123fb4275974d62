// DATA/birth, line by line:
//
//   loyal-birth 1
//   cluster: <cluster id, hex>
//   replica: 0
//   checksum: <hex of H("birthfile", all lines above)>
#include <array>

#include "config/cluster.h"
#include "config/files.h"

namespace loyal::config {
namespace {

constexpr std::string_view birth_name = "birth";
constexpr std::string_view checksum_tag = "birthfile";
constexpr std::size_t birth_bytes_max = 512;

// The record has one text, so reading it is comparing it.
std::string render_birth(const Birth& birth) {
    std::string text =
        "loyal-birth 1\ncluster: " + birth.cluster_id.hex() + "\nreplica: " + std::to_string(birth.replica) + "\n";
    const auto checksum = crypto::digest_of(checksum_tag, view_of(text)).hex();
    return text.append("checksum: ").append(checksum).append("\n");
}

bool has_valid_checksum(std::string_view text) {
    constexpr std::string_view label = "checksum: ";
    const auto start = text.find(label);
    return text.starts_with("loyal-birth 1\n") && start != std::string_view::npos &&
           text.substr(start + label.size()) ==
               crypto::digest_of(checksum_tag, view_of(text.substr(0, start))).hex() + "\n";
}

}  // namespace

Result<void> write_birth(const std::filesystem::path& data, const Birth& birth) {
    std::error_code error;
    if (!std::filesystem::exists(std::filesystem::symlink_status(data, error))) {
        if (auto made = make_folder(data, 0700); !made) {
            return made;
        }
        const auto parent = data.parent_path();
        if (auto synced = sync_folder(parent.empty() ? "." : parent); !synced) {
            return synced;
        }
    } else if (!std::filesystem::is_empty(data, error) || error) {
        return fail(Errc::conflict, data.string() + (error ? " is not a folder" : " is not empty") +
                                        "; a replica is born into an empty folder");
    }
    return write_new_file(data / birth_name, view_of(render_birth(birth)), 0600);
}

Result<void> check_birth(const std::filesystem::path& data, const Birth& expected) {
    std::array<std::uint8_t, birth_bytes_max> buffer{};
    const auto path = data / birth_name;
    const auto size = read_file(path, buffer, Secrecy::open_to_all);
    if (!size && size.error().code == Errc::not_found) {
        return fail(Errc::not_found, data.string() + " has no birth record: the data folder of replica " +
                                         std::to_string(expected.replica) +
                                         " was never initialised here, or its disk is lost");
    }
    if (!size) {
        return tl::unexpected(size.error());
    }
    const auto text = text_of(ByteView(buffer).first(*size));
    if (!has_valid_checksum(text)) {
        return fail(Errc::corrupted, path.string() + " is damaged: its checksum does not match");
    }
    if (text != render_birth(expected)) {
        return fail(Errc::conflict, data.string() + " belongs to another cluster or replica, not to replica " +
                                        std::to_string(expected.replica) + " of cluster " +
                                        expected.cluster_id.short_hex() + "; name the right data folder");
    }
    return {};
}

}  // namespace loyal::config
