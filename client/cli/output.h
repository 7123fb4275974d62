// What `loyal` prints: JSON forms of the contract, aligned tables, and standard output whose failures are noticed (a
// full disk behind a redirection must not look like success).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "client/cli/failure.h"
#include "config/bytes.h"
#include "consensus/types.h"

namespace loyal::cli {

enum class OutputFormat : std::uint8_t { simple, json, table };
// How bytes are written on the command line and in simple and table output.
enum class TextForm : std::uint8_t { plain, hex, base64 };

// UTF-8 strings where the bytes are valid UTF-8, otherwise {"base64": "..."}.
[[nodiscard]] nlohmann::ordered_json json_of(ByteView bytes);
// The inverse.
[[nodiscard]] Answer<Bytes> bytes_of_json(const nlohmann::ordered_json& value, std::string_view what);
// {"hlc":"<wall ms>.<counter>","rfc3339":"..."}
[[nodiscard]] nlohmann::ordered_json json_of(consensus::Hlc timestamp);
[[nodiscard]] nlohmann::ordered_json json_of(const std::vector<consensus::ReplicaId>& replicas);

// UTC with milliseconds: 2026-03-01T12:00:00.125Z.
[[nodiscard]] std::string rfc3339(std::uint64_t wall_ms);
[[nodiscard]] std::string text_in_form(ByteView bytes, TextForm form);
// For tables: what a terminal would act on is shown as \xNN (client/cli/terminal_text.h).
[[nodiscard]] std::string printable(ByteView bytes, TextForm form);

// The first row is the heading. Columns are two spaces apart; a column of numbers is aligned right. On a terminal a
// cell shows at most cell_columns_max columns.
inline constexpr std::size_t cell_columns_max = 100;
[[nodiscard]] std::string table(const std::vector<std::vector<std::string>>& rows);
[[nodiscard]] std::string table(std::vector<std::vector<std::string>> rows, std::size_t cell_columns);

// Standard output and standard error, byte for byte; on a terminal nothing but newlines and tabs acts on it, the rest
// is shown as \xNN.
void print(std::string_view text);
// A document and a newline.
void print_json(const nlohmann::ordered_json& document);
void print_error(std::string_view text);
// Standard error, for control sequences of our own making: everything in it is ours.
void print_control(std::string_view text);
// Of the terminal on standard error; 80 where there is none.
[[nodiscard]] std::size_t error_terminal_columns();
[[nodiscard]] bool output_is_terminal();
[[nodiscard]] bool error_is_terminal();
[[nodiscard]] bool input_is_terminal();
// Call once at the end: fails when anything printed could not be written.
[[nodiscard]] Answer<void> finish_output();

}  // namespace loyal::cli
